#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "nearlite/base/error.h"
#include "nearlite/model/transformer.h"
#include "testing/random_bert.h"

namespace nearlite {
namespace {

using nearlite::testing::BertShape;
using nearlite::testing::RandomBert;

struct Packed {
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> boundaries{0};
  void add(const std::vector<std::int32_t>& text) {
    ids.insert(ids.end(), text.begin(), text.end());
    boundaries.push_back(static_cast<std::uint32_t>(ids.size()));
  }
  PackedTokens tokens() const { return {ids, boundaries}; }
};

std::unique_ptr<const Transformer> load(const RandomBert& bert) {
  const TemporaryFolder folder;  // the mapping outlives the name
  bert.write(folder.path());
  return load_transformer(read_transformer_config(folder.path() / "config.json"),
                          std::make_shared<const Weights>(folder.path()));
}

std::vector<std::int32_t> random_text(std::size_t length, std::size_t vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> ids(length);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random() % vocabulary);
  return ids;
}

class EveryShape : public ::testing::TestWithParam<BertShape> {};

TEST_P(EveryShape, AgreesWithTheDefinitionInDoublePrecision) {
  const RandomBert bert(GetParam());
  const auto model = load(bert);
  TransformerWorkspace workspace;
  for (const std::size_t length : {1, 2, 9, 31, 64}) {
    const auto ids = random_text(length, bert.shape().vocabulary, static_cast<unsigned>(length));
    Packed packed;
    packed.add(ids);
    const auto hidden = model->forward(packed.tokens(), workspace);
    const auto expected = bert.reference(ids);
    for (std::size_t t = 0; t < length; ++t) {
      for (std::size_t i = 0; i < bert.shape().hidden; ++i) {
        ASSERT_NEAR(hidden[t * bert.shape().hidden + i], expected[t][i], 2e-5)
            << length << " " << t;
      }
    }
  }
}

TEST_P(EveryShape, GivesATextTheSameBitsWhateverItsBatchMates) {
  const RandomBert bert(GetParam());
  const auto model = load(bert);
  const std::size_t hidden = bert.shape().hidden;
  std::vector<std::vector<std::int32_t>> texts;
  std::vector<std::vector<float>> alone;
  for (unsigned i = 0; i < 40; ++i) {
    texts.push_back(random_text(1 + (i * 7) % 64, bert.shape().vocabulary, i));
    Packed packed;
    packed.add(texts.back());
    TransformerWorkspace workspace;
    const auto rows = model->forward(packed.tokens(), workspace);
    alone.emplace_back(rows.begin(), rows.end());
  }
  TransformerWorkspace workspace;
  for (std::size_t batch = 2; batch <= texts.size(); batch += 3) {
    for (std::size_t first = 0; first + batch <= texts.size(); first += batch) {
      Packed packed;
      for (std::size_t t = first; t < first + batch; ++t) packed.add(texts[t]);
      const auto rows = model->forward(packed.tokens(), workspace);
      for (std::size_t t = 0; t < batch; ++t) {
        ASSERT_EQ(0, std::memcmp(rows.data() + packed.boundaries[t] * hidden,
                                 alone[first + t].data(), alone[first + t].size() * sizeof(float)))
            << "text " << first + t << " in a batch of " << batch;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bert, EveryShape,
    ::testing::Values(
        BertShape{}, BertShape{.hidden = 64, .heads = 2, .intermediate = 256},
        BertShape{
            .layers = 1, .hidden = 100, .heads = 5, .intermediate = 33, .activation = "gelu_new"},
        BertShape{
            .layers = 3, .hidden = 48, .heads = 4, .intermediate = 100, .activation = "relu"}),
    [](const auto& instance) {
      return "hidden" + std::to_string(instance.param.hidden) + "_" + instance.param.activation;
    });

TEST(BertTest, FindsTensorsUnderThePrefixesOfOtherExporters) {
  const RandomBert plain({});
  const RandomBert prefixed({}, 1, "bert.");
  RandomBert old({});
  for (auto& tensor : old.tensors()) {
    const auto rename = [&](const std::string& from, const std::string& to) {
      if (tensor.name.ends_with(from))
        tensor.name.replace(tensor.name.size() - from.size(), from.size(), to);
    };
    rename("LayerNorm.weight", "LayerNorm.gamma");
    rename("LayerNorm.bias", "LayerNorm.beta");
  }
  Packed packed;
  packed.add({1, 2, 3});
  TransformerWorkspace workspace;
  const auto rows = load(plain)->forward(packed.tokens(), workspace);
  const std::vector<float> expected(rows.begin(), rows.end());
  for (const RandomBert* other : {&prefixed, static_cast<const RandomBert*>(&old)}) {
    const auto model = load(*other);
    const auto again = model->forward(packed.tokens(), workspace);
    EXPECT_TRUE(std::equal(again.begin(), again.end(), expected.begin(), expected.end()));
  }
}

TEST(BertTest, NamesAMissingTensorWithItsShape) {
  RandomBert bert({});
  std::erase_if(bert.tensors(), [](const auto& tensor) {
    return tensor.name == "encoder.layer.1.intermediate.dense.weight";
  });
  try {
    load(bert);
    FAIL() << "nothing was thrown";
  } catch (const CorruptData& error) {
    EXPECT_THAT(error.what(),
                ::testing::HasSubstr(
                    "no tensor 'encoder.layer.1.intermediate.dense.weight' of shape [40, 24]"));
  }
}

TEST(BertTest, RefusesTokensItCannotRead) {
  const RandomBert bert({});
  const auto model = load(bert);
  TransformerWorkspace workspace;
  Packed unknown;
  unknown.add({1, 50});
  EXPECT_THROW(model->forward(unknown.tokens(), workspace), InvalidArgument);
  Packed negative;
  negative.add({-1});
  EXPECT_THROW(model->forward(negative.tokens(), workspace), InvalidArgument);
  Packed too_long;
  too_long.add(std::vector<std::int32_t>(65, 1));
  EXPECT_THROW(model->forward(too_long.tokens(), workspace), InvalidArgument);
  Packed broken;
  broken.add({1, 2});
  broken.boundaries.back() = 3;
  EXPECT_THROW(model->forward(broken.tokens(), workspace), InvalidArgument);
}

}  // namespace
}  // namespace nearlite
