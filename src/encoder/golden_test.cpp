// Vectors of sentence-transformers judge ours (testdata/goldens.*, made by
// tools/make_encoder_goldens.py). The same program runs again with NEARLITE_ISA=avx2 and scalar:
// every kernel must give these vectors.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "nearlite/base/files.h"
#include "nearlite/encoder/text_encoder.h"

namespace nearlite {
namespace {

/// The real model: NEARLITE_TEST_MODEL, else where the environment says that models are. Absent,
/// the tests fail.
const TextEncoder& real_encoder(Precision precision) {
  static std::map<Precision, std::shared_ptr<const TextEncoder>> encoders;
  auto& encoder = encoders[precision];
  if (!encoder) {
    const char* folder = std::getenv("NEARLITE_TEST_MODEL");
    encoder = lazy_encoder(folder == nullptr ? "" : folder, ModelPlaces::from_environment(),
                           {.threads = 2, .precision = precision});
  }
  return *encoder;
}

struct Goldens {
  std::vector<std::string> texts;
  std::vector<std::size_t> tokens;
  std::vector<float> vectors;
  std::size_t dim = 0;
  std::size_t truncated = 0;

  std::vector<std::string_view> views() const { return {texts.begin(), texts.end()}; }
};

const Goldens& goldens() {
  static const Goldens loaded = [] {
    const std::filesystem::path folder = NEARLITE_ENCODER_TESTDATA;
    const auto json = nlohmann::json::parse(read_file(folder / "goldens.json"));
    Goldens result{.texts = json["texts"],
                   .tokens = json["tokens"],
                   .vectors = {},
                   .dim = json["dim"],
                   .truncated = json["truncated"]};
    const std::string bytes = read_file(folder / "goldens.f32");
    result.vectors.resize(bytes.size() / sizeof(float));
    std::memcpy(result.vectors.data(), bytes.data(), bytes.size());
    return result;
  }();
  return loaded;
}

class EveryPrecision : public ::testing::TestWithParam<Precision> {
 protected:
  const TextEncoder& encoder() const { return real_encoder(GetParam()); }
  static std::vector<std::string_view> some_texts() {
    const auto all = goldens().views();
    std::vector<std::string_view> some;
    for (std::size_t i = 0; i < all.size(); i += 12) some.push_back(all[i]);
    return some;
  }
  static bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
  }
};

TEST_P(EveryPrecision, MeetsTheGoldens) {
  const EncodedBatch batch = encoder().encode(goldens().views(), TextRole::kPlain);
  const std::size_t dim = goldens().dim;
  ASSERT_EQ(batch.dim, dim);
  ASSERT_EQ(batch.vectors.size(), goldens().vectors.size());
  double largest_error = 0;
  double smallest_cosine = 1;
  double mean_cosine = 0;
  std::size_t num_tokens = 0;
  for (std::size_t t = 0; t < goldens().texts.size(); ++t) {
    double dot = 0;
    double ours = 0;
    double theirs = 0;
    double error = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      const double a = batch.vector(t)[i];
      const double b = goldens().vectors[t * dim + i];
      dot += a * b;
      ours += a * a;
      theirs += b * b;
      error = std::max(error, std::abs(a - b));
    }
    const double cosine = dot / std::sqrt(ours * theirs);
    if (GetParam() == Precision::kFp32) {
      EXPECT_LE(error, 1e-5) << "text " << t;
    }
    EXPECT_GE(cosine, least_cosine(GetParam())) << "text " << t << ": " << goldens().texts[t];
    EXPECT_NEAR(ours, 1.0, 1e-5);
    largest_error = std::max(largest_error, error);
    smallest_cosine = std::min(smallest_cosine, cosine);
    mean_cosine += cosine / static_cast<double>(goldens().texts.size());
    num_tokens += goldens().tokens[t];
  }
  EXPECT_GE(mean_cosine, 0.996);
  EXPECT_GE(goldens().texts.size(), 200U);
  EXPECT_EQ(batch.num_tokens, num_tokens);
  EXPECT_EQ(batch.num_truncated, goldens().truncated);
  EXPECT_GE(batch.num_truncated, 3U);
  RecordProperty("largest_component_error", std::to_string(largest_error));
  RecordProperty("smallest_cosine", std::to_string(smallest_cosine));
  std::printf("largest component error %.2e, 1 - smallest cosine %.2e, 1 - mean cosine %.2e\n",
              largest_error, 1 - smallest_cosine, 1 - mean_cosine);
}

TEST(RealModel, IsDescribed) {
  const ModelInfo& info = real_encoder(Precision::kFp32).info();
  EXPECT_EQ(info.dim, 384U);
  EXPECT_EQ(info.max_tokens, 256U);
  EXPECT_EQ(info.architecture, "bert");
  EXPECT_EQ(info.modules, (std::vector<std::string>{"Transformer", "Pooling(mean)", "Normalize"}));
  EXPECT_TRUE(info.normalized);
  EXPECT_EQ(info.identity.size(), 32U);
}

TEST(RealModel, HasOneIdentityExceptInInt8) {
  const auto identity = [](Precision precision) { return real_encoder(precision).info().identity; };
  EXPECT_EQ(identity(Precision::kBf16), identity(Precision::kFp32));
  EXPECT_EQ(identity(Precision::kInt16), identity(Precision::kFp32));
  EXPECT_EQ(identity(Precision::kAuto), identity(Precision::kFp32));
  EXPECT_NE(identity(Precision::kInt8), identity(Precision::kFp32));
  EXPECT_NE(real_encoder(Precision::kAuto).info().precision, Precision::kAuto);
}

TEST_P(EveryPrecision, ATextHasTheSameBitsAloneAndInBatchesOfEverySize) {
  const auto texts = some_texts();
  std::vector<EncodedBatch> alone;
  for (const std::string_view text : texts) {
    alone.push_back(encoder().encode(std::span(&text, 1), TextRole::kPlain));
  }
  for (const std::size_t size : {2, 5, 13}) {
    for (std::size_t first = 0; first < texts.size(); first += size) {
      const auto part = std::span(texts).subspan(first, std::min(size, texts.size() - first));
      const EncodedBatch batch = encoder().encode(part, TextRole::kPlain);
      for (std::size_t t = 0; t < part.size(); ++t) {
        ASSERT_TRUE(same_bits(batch.vector(t), alone[first + t].vector(0)))
            << "text " << first + t << " in a batch of " << size;
      }
    }
  }
}

TEST_P(EveryPrecision, OrderAndOtherMatesDoNotMatter) {
  auto texts = some_texts();
  const EncodedBatch in_order = encoder().encode(texts, TextRole::kPlain);
  std::vector<std::size_t> places(texts.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  std::shuffle(places.begin(), places.end(), std::mt19937(7));
  std::vector<std::string_view> shuffled;
  for (const std::size_t place : places) shuffled.push_back(texts[place]);
  shuffled.push_back("a mate that nobody had before");
  const EncodedBatch again = encoder().encode(shuffled, TextRole::kPlain);
  for (std::size_t i = 0; i < places.size(); ++i) {
    ASSERT_TRUE(same_bits(again.vector(i), in_order.vector(places[i])));
  }
}

TEST_P(EveryPrecision, CallingThreadsAndWorkersDoNotMatter) {
  const auto texts = some_texts();
  const EncodedBatch expected = encoder().encode(texts, TextRole::kPlain);
  const auto single =
      open_encoder(encoder().info().folder, {.threads = 1, .precision = GetParam()});
  EXPECT_TRUE(same_bits(single->encode(texts, TextRole::kPlain).vectors, expected.vectors));
  std::vector<EncodedBatch> results(3);
  std::vector<std::thread> threads;
  for (EncodedBatch& result : results) {
    threads.emplace_back([&] { result = encoder().encode(texts, TextRole::kPlain); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const EncodedBatch& result : results) {
    EXPECT_TRUE(same_bits(result.vectors, expected.vectors));
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, EveryPrecision,
                         ::testing::Values(Precision::kFp32, Precision::kBf16, Precision::kInt16,
                                           Precision::kInt8),
                         [](const auto& instance) {
                           return std::string(precision_name(instance.param));
                         });

}  // namespace
}  // namespace nearlite
