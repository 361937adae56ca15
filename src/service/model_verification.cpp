#include "nearlite/service/model_verification.h"

#include <cmath>
#include <filesystem>

#include "model_reference.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::string_view kKnownModel = "all-MiniLM-L6-v2";

template <typename Number>
double cosine(std::span<const float> a, std::span<const Number> b) {
  double dot = 0;
  double squares_a = 0;
  double squares_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]);
    const auto y = static_cast<double>(b[i]);
    dot += x * y;
    squares_a += x * x;
    squares_b += y * y;
  }
  const double product = std::sqrt(squares_a * squares_b);
  return product > 0 ? dot / product : 0;
}

}  // namespace

ModelVerification verify_model(const TextEncoder& encoder, const TextEncoder& exact) {
  const ModelInfo& info = encoder.info();
  const auto reference = all_minilm_l6_v2_reference();
  const bool recorded = std::filesystem::path(info.name).filename() == kKnownModel;
  if (recorded && info.dim != reference.front().vector.size()) {
    throw CorruptData(info.folder.string() + " gives vectors of " + std::to_string(info.dim) +
                      " dimensions, " + std::string(kKnownModel) + " has " +
                      std::to_string(reference.front().vector.size()));
  }
  std::vector<std::string_view> texts;
  for (const ReferenceText& text : reference) texts.push_back(text.text);
  const EncodedBatch batch = encoder.encode(texts, TextRole::kPlain);
  const EncodedBatch exact_batch =
      recorded ? EncodedBatch{} : exact.encode(texts, TextRole::kPlain);
  ModelVerification result;
  result.compared_with = recorded ? "recorded vectors" : "fp32";
  result.num_texts = texts.size();
  result.num_truncated = batch.num_truncated;
  result.least_cosine = least_cosine(info.precision);
  double sum = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double similarity = recorded ? cosine<std::int16_t>(batch.vector(i), reference[i].vector)
                                       : cosine<float>(batch.vector(i), exact_batch.vector(i));
    sum += similarity;
    if (i == 0 || similarity < result.smallest_cosine) {
      result.smallest_cosine = similarity;
      result.worst_text = texts[i];
    }
  }
  result.mean_cosine = sum / static_cast<double>(texts.size());
  result.passed = result.smallest_cosine >= result.least_cosine;
  return result;
}

}  // namespace nearlite
