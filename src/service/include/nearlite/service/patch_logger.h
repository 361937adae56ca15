#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/service/events.h"
#include "nearlite/service/feedback.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"
#include "nearlite/service/patch_safety.h"
#include "nearlite/service/patch_store.h"

namespace nearlite::vector_service {

/// success, high-ROI, low-ROI, bug-introduced, needs-review, blocked
bool is_roi_tag(std::string_view tag);

struct TrackedPatch {
  std::map<std::string, double> risks{};       // origin -> highest
  std::map<std::string, double> roi_deltas{};  // origin -> sum
  double roi_delta = 0;
  double patch_difficulty = 0;  // lines changed and context tokens
  double enhancement_score = 0;
  std::size_t lines_changed = 0;
  std::size_t context_tokens = 0;
  std::size_t tests_passed = 0;
  double duration_s = 0;
  double effort_estimate = 0;
  std::size_t error_count = 0;
  std::size_t filtered = 0;           // vectors that governance or their risk keeps from learning
  std::vector<std::string> errors{};  // what could not be written; the rest was
};

/// How the parts of the enhancement score count.
struct EnhancementWeights {
  double difficulty = 1, time = 1, tests_passed = 1, tests_failed = 1, error_traces = 1, effort = 1;
};

/// What a PatchLogger learns with; all of it must outlive the object. Not set: it is done without.
struct PatchLearning {
  PatchSafety* safety = nullptr;         // keeps risky vectors out, remembers failures
  PatchStore* patches = nullptr;         // keeps patches that have an id
  WeightStore* weights = nullptr;        // adjusts the trust in vectors and origins
  const TextEncoder* encoder = nullptr;  // so that kept patches can be found by their summary
  EnhancementWeights enhancement{};
};

/// Records which vectors helped or hurt. For any number of threads if its sinks are.
class PatchLogger {
 public:
  static constexpr double kRiskThreshold = 0.8;

  /// All of them must outlive the object.
  PatchLogger(FeedbackSink& feedback, const Clock& clock = system_clock(),
              LogSink& log = null_log_sink(), MetricsSink& metrics = null_metrics(),
              EventSink& events = null_events(), PatchLearning learning = {})
      : feedback_(feedback),
        clock_(clock),
        log_(log),
        metrics_(metrics),
        events_(events),
        learning_(learning) {}

  /// A vector that governance refuses, or with a risk of kRiskThreshold or more, is left out; the
  /// latter are told as patch:risk_alert. What cannot be written is listed in the result. Throws
  /// InvalidArgument for an unknown roi_tag.
  TrackedPatch track_contributors(const std::vector<Contributor>& contributors,
                                  const PatchOutcome& outcome);
  std::future<TrackedPatch> track_contributors_async(std::vector<Contributor> contributors,
                                                     PatchOutcome outcome);

 private:
  struct Tracking;
  bool is_safe(Tracking& tracking, const Contributor& contributor);
  void learn_from(Tracking& tracking, const Contributor& contributor);
  void tell_origins(Tracking& tracking);
  void keep_patch(Tracking& tracking);
  void adjust_weights(Tracking& tracking);
  void tell_outcome(const Tracking& tracking);
  void count(const Tracking& tracking);
  void count_standing(const Tracking& tracking);
  void failed(Tracking& tracking, const std::string& what, const std::exception& error);

  FeedbackSink& feedback_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
  EventSink& events_;
  PatchLearning learning_;
};

}  // namespace nearlite::vector_service
