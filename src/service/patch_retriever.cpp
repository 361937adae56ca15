#include "nearlite/service/patch_retriever.h"

#include <algorithm>
#include <cmath>

#include "nearlite/service/service_error.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

double similarity_of(double cosine, SimilarityMetric metric) {
  return metric == SimilarityMetric::kCosine ? (cosine + 1) / 2 : 1 / (1 + std::exp(-cosine));
}

/// 0 to 1: a patch of a thousand lines must not outweigh what the question says.
double bounded(double score) { return score > 0 ? score / (1 + score) : 0; }

}  // namespace

SimilarityMetric similarity_metric_of(std::string_view name) {
  if (name == "cosine") return SimilarityMetric::kCosine;
  if (name == "inner_product") return SimilarityMetric::kInnerProduct;
  throw RetrieverConfigurationError("unknown similarity metric \"" + std::string(name) + "\"",
                                    "use cosine or inner_product");
}

std::vector<FoundPatch> PatchRetriever::search(std::string_view question, std::size_t top_k,
                                               const std::vector<std::string>& exclude_tags,
                                               const std::string& session_id) const {
  Operation operation("PatchRetriever.search", session_id, clock_, log_, metrics_);
  if (question.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos)
    throw MalformedPromptError("the question is blank");
  const std::size_t most = top_k == 0 ? settings_.top_k : top_k;
  const std::vector<std::string_view> texts = {question};
  const EncodedBatch encoded = encoder_.encode(texts, TextRole::kQuery);
  std::vector<FoundPatch> found;
  // More than asked for: scores are not in the order of the cosines.
  for (PatchMatch& match :
       patches_.nearest(encoded.vector(0), encoder_.info().identity, most * 4)) {
    if (std::ranges::find(exclude_tags, match.patch.roi_tag) != exclude_tags.end()) continue;
    FoundPatch patch;
    patch.similarity = similarity_of(match.cosine, settings_.metric);
    patch.score = patch.similarity *
                  (1 + bounded(match.patch.enhancement_score) * settings_.enhancement_weight);
    const auto weight = settings_.roi_tag_weights.find(match.patch.roi_tag);
    if (weight != settings_.roi_tag_weights.end())
      patch.score = std::max(patch.score - weight->second, 0.0);
    patch.text = match.patch.summary;
    patch.patch = std::move(match.patch);
    found.push_back(std::move(patch));
  }
  std::ranges::sort(found, [](const FoundPatch& a, const FoundPatch& b) {
    return a.score != b.score ? a.score > b.score : a.patch.patch_id < b.patch.patch_id;
  });
  if (found.size() > most) found.resize(most);
  operation.finished(found.size());
  return found;
}

std::vector<FoundPatch> search_patches(std::string_view question, PatchStore& patches,
                                       const TextEncoder& encoder, std::size_t top_k,
                                       const std::vector<std::string>& exclude_tags) {
  return PatchRetriever(patches, encoder).search(question, top_k, exclude_tags);
}

}  // namespace nearlite::vector_service
