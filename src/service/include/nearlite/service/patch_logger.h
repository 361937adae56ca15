#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"

namespace nearlite::vector_service {

/// A vector that was used: "origin:vector", split at the first colon.
struct Contributor {
  std::string origin{};  // empty: unknown
  std::string vector_id{};
  double score = 0;
  double risk = 0;  // 0 to 1, as the caller knows it

  /// The whole text goes to the origin's side of the first colon; without one there is no origin.
  static Contributor of(std::string_view text, double score = 0);
};

/// What became of the work that the vectors went into.
struct PatchOutcome {
  bool result = false;  // it helped
  std::string patch_id{};
  std::string session_id{};
  std::optional<double> contribution{};  // of each vector; default: roi_delta, else its score
  std::optional<double> roi_delta{};
  std::size_t lines_changed = 0;
  std::size_t context_tokens = 0;
  std::size_t tests_passed = 0;
  std::size_t tests_failed = 0;
  std::vector<std::string> error_traces{};
  std::string roi_tag{};  // success, high-ROI, low-ROI, bug-introduced, needs-review, blocked
  double effort_estimate = 0;
  double duration_seconds = 0;
};

struct TrackedPatch {
  std::map<std::string, double> risks{};       // origin -> highest
  std::map<std::string, double> roi_deltas{};  // origin -> sum
  double roi_delta = 0;
  double patch_difficulty = 0;  // lines changed and context tokens
  double enhancement_score = 0;
  std::size_t error_count = 0;
  std::size_t filtered = 0;           // vectors whose risk is too high to learn from
  std::vector<std::string> errors{};  // what could not be written; the rest was
};

/// Where outcomes are kept, so that origins that help come to be trusted.
class FeedbackSink {
 public:
  virtual ~FeedbackSink() = default;
  /// Throws Error if it cannot be written.
  virtual void record(const PatchOutcome& outcome, const Contributor& contributor) = 0;
};

/// Writes the original's tables patch_outcomes and retriever_stats of the metrics.db of each
/// origin.
class FeedbackFile : public FeedbackSink {
 public:
  using FileOf = std::function<std::filesystem::path(const std::string& origin)>;
  explicit FeedbackFile(FileOf file_of, const Clock& clock = system_clock())
      : file_of_(std::move(file_of)), clock_(clock) {}
  void record(const PatchOutcome& outcome, const Contributor& contributor) override;

 private:
  FileOf file_of_;
  const Clock& clock_;
};

/// Told what happens; topics and payloads (JSON) of reference 12. Does not throw.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void publish(std::string_view topic, const std::string& payload) noexcept = 0;
};
EventSink& null_events();

/// Records which vectors helped or hurt. For any number of threads if its sinks are.
class PatchLogger {
 public:
  static constexpr double kRiskThreshold = 0.8;

  /// All of them must outlive the object.
  PatchLogger(FeedbackSink& feedback, const Clock& clock = system_clock(),
              LogSink& log = null_log_sink(), MetricsSink& metrics = null_metrics(),
              EventSink& events = null_events())
      : feedback_(feedback), clock_(clock), log_(log), metrics_(metrics), events_(events) {}

  /// A vector with a risk of kRiskThreshold or more is left out and told as patch:risk_alert. What
  /// cannot be written is listed in the result. Throws InvalidArgument for an unknown roi_tag.
  TrackedPatch track_contributors(const std::vector<Contributor>& contributors,
                                  const PatchOutcome& outcome);

 private:
  FeedbackSink& feedback_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
  EventSink& events_;
};

}  // namespace nearlite::vector_service
