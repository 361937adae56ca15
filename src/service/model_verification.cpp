#include "nearlite/service/model_verification.h"

#include <cmath>
#include <filesystem>

#include "model_reference.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::string_view kKnownModel = "all-MiniLM-L6-v2";

double cosine(std::span<const float> a, std::span<const std::int16_t> b) {
  double dot = 0;
  double squares_a = 0;
  double squares_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * b[i];
    squares_a += static_cast<double>(a[i]) * a[i];
    squares_b += static_cast<double>(b[i]) * b[i];
  }
  const double product = std::sqrt(squares_a * squares_b);
  return product > 0 ? dot / product : 0;
}

}  // namespace

ModelVerification verify_model(const TextEncoder& encoder) {
  const ModelInfo& info = encoder.info();
  if (std::filesystem::path(info.name).filename() != kKnownModel) {
    throw NotFound("there are no reference vectors of " + info.name + ", only of " +
                   std::string(kKnownModel));
  }
  const auto reference = all_minilm_l6_v2_reference();
  if (info.dim != reference.front().vector.size()) {
    throw CorruptData(info.folder.string() + " gives vectors of " + std::to_string(info.dim) +
                      " dimensions, " + std::string(kKnownModel) + " has " +
                      std::to_string(reference.front().vector.size()));
  }
  std::vector<std::string_view> texts;
  for (const ReferenceText& text : reference) texts.push_back(text.text);
  const EncodedBatch batch = encoder.encode(texts, TextRole::kPlain);
  ModelVerification verification;
  verification.num_texts = texts.size();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double similarity = cosine(batch.vector(i), reference[i].vector);
    if (i == 0 || similarity < verification.smallest_cosine) {
      verification.smallest_cosine = similarity;
      verification.worst_text = texts[i];
    }
  }
  verification.passed = verification.smallest_cosine >= kLeastCosine;
  return verification;
}

}  // namespace nearlite
