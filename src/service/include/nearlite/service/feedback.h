#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/governed_hit.h"

namespace nearlite::vector_service {

/// A vector that was used: "origin:vector", split at the first colon.
struct Contributor {
  std::string origin{};  // empty: unknown
  std::string vector_id{};
  double score = 0;
  double risk = 0;           // 0 to 1, as the caller knows it
  HitGovernance flags{};     // what is known of its row (retrieval_metadata of the reference)
  std::string error_text{};  // what its row says went wrong; compared with failures on record

  /// The whole text goes to the origin's side of the first colon; without one there is no origin.
  static Contributor of(std::string_view text, double score = 0);
  std::string id() const { return origin + ":" + vector_id; }
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
  double duration_seconds = 0;  // from its start to its end
  std::string summary{};        // with a patch id: what the patch is found by later
  std::string diff{};
  std::string outcome{};        // in words
  std::string error_summary{};  // what went wrong: remembered when the result is false
  std::string enhancement_name{};
  double diff_risk_score = 0;  // of the patch itself, 0 to 1; told with patch:risk_alert
  std::vector<std::string> risk_flags{};
};

/// Wins and regrets of an origin so far.
struct WinsAndRegrets {
  std::int64_t wins = 0;
  std::int64_t regrets = 0;
};

/// Where outcomes are kept, so that origins that help come to be trusted.
class FeedbackSink {
 public:
  virtual ~FeedbackSink() = default;
  /// Throws Error if it cannot be written. What the origin has so far, this one counted.
  virtual WinsAndRegrets record(const PatchOutcome& outcome, const Contributor& contributor) = 0;
};

/// Writes the original's tables patch_outcomes and retriever_stats of the metrics.db of each
/// origin.
class FeedbackFile : public FeedbackSink {
 public:
  using FileOf = std::function<std::filesystem::path(const std::string& origin)>;
  explicit FeedbackFile(FileOf file_of, const Clock& clock = system_clock())
      : file_of_(std::move(file_of)), clock_(clock) {}
  WinsAndRegrets record(const PatchOutcome& outcome, const Contributor& contributor) override;

 private:
  FileOf file_of_;
  const Clock& clock_;
};

}  // namespace nearlite::vector_service
