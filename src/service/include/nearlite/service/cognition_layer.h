#pragma once

#include <functional>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/service/context_builder.h"
#include "nearlite/service/patch_logger.h"

namespace nearlite::vector_service {

struct CognitionAnswer {
  std::string context{};  // JSON, as ContextBuilder makes it
  std::string session_id{};
};

/// Asks, and learns from what became of the answer: a question is remembered under its session
/// until its outcome is recorded, also over a restart. For any number of threads if its parts are.
class CognitionLayer {
 public:
  /// `backfill` is called with the origins of an outcome that failed or lost ROI. All references
  /// must outlive the object.
  CognitionLayer(ContextBuilder& builder, PatchLogger& logger, SessionStore& sessions,
                 WeightStore& weights, const Clock& clock = system_clock(),
                 LogSink& log = null_log_sink(), MetricsSink& metrics = null_metrics(),
                 EventSink& events = null_events(),
                 std::function<void(const std::vector<std::string>& origins)> backfill = {})
      : builder_(builder),
        logger_(logger),
        sessions_(sessions),
        weights_(weights),
        clock_(clock),
        log_(log),
        metrics_(metrics),
        events_(events),
        backfill_(std::move(backfill)) {}

  CognitionAnswer query(std::string_view prompt, const ContextRequest& request = {});
  std::future<CognitionAnswer> query_async(std::string prompt, ContextRequest request = {});

  /// Nothing for a session that is unknown, or whose outcome was recorded already.
  std::optional<TrackedPatch> record_patch_outcome(const std::string& session_id,
                                                   PatchOutcome outcome);
  std::future<std::optional<TrackedPatch>> record_patch_outcome_async(std::string session_id,
                                                                      PatchOutcome outcome);

  /// Each origin's weight goes up or down by its ROI, else by 0.1 as the result says, less its risk
  /// where that is PatchLogger::kRiskThreshold or more; then all are scaled to sum 1.
  void update_ranker(const TrackedPatch& tracked, bool result);

 private:
  ContextBuilder& builder_;
  PatchLogger& logger_;
  SessionStore& sessions_;
  WeightStore& weights_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
  EventSink& events_;
  std::function<void(const std::vector<std::string>&)> backfill_;
};

}  // namespace nearlite::vector_service
