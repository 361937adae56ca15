#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/encoder/text_encoder.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"
#include "nearlite/service/patch_store.h"

namespace nearlite::vector_service {

/// kCosine: (s + 1) / 2. kInnerProduct: 1 / (1 + e^-s).
enum class SimilarityMetric { kCosine, kInnerProduct };
/// "cosine", "inner_product". Throws RetrieverConfigurationError that lists them.
SimilarityMetric similarity_metric_of(std::string_view name);

struct PatchRetrieverSettings {
  std::size_t top_k = 5;
  SimilarityMetric metric = SimilarityMetric::kCosine;
  double enhancement_weight = 1;
  std::map<std::string, double> roi_tag_weights{};  // taken off the score of a patch with this tag
};

/// A patch that answers.
struct FoundPatch {
  double score = 0;       // similarity x (1 + e / (1 + e) x weight), e its enhancement score
  double similarity = 0;  // 0 to 1, by the metric
  std::string text{};     // its summary
  PatchRecord patch{};
};

/// Patches of the past that resemble a question. For any number of threads.
class PatchRetriever {
 public:
  /// All references must outlive the object.
  PatchRetriever(PatchStore& patches, const TextEncoder& encoder,
                 PatchRetrieverSettings settings = {}, const Clock& clock = system_clock(),
                 LogSink& log = null_log_sink(), MetricsSink& metrics = null_metrics())
      : patches_(patches),
        encoder_(encoder),
        settings_(std::move(settings)),
        clock_(clock),
        log_(log),
        metrics_(metrics) {}

  /// By score, then id. `exclude_tags`: ROI tags. Throws MalformedPromptError for a blank question.
  std::vector<FoundPatch> search(std::string_view question, std::size_t top_k = 0,
                                 const std::vector<std::string>& exclude_tags = {},
                                 const std::string& session_id = {}) const;

 private:
  PatchStore& patches_;
  const TextEncoder& encoder_;
  PatchRetrieverSettings settings_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
};

/// The same in one call.
std::vector<FoundPatch> search_patches(std::string_view question, PatchStore& patches,
                                       const TextEncoder& encoder, std::size_t top_k = 5,
                                       const std::vector<std::string>& exclude_tags = {});

}  // namespace nearlite::vector_service
