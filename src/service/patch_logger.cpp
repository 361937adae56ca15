#include "nearlite/service/patch_logger.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/store/connection.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kTables[] = R"(
CREATE TABLE IF NOT EXISTS patch_outcomes(
  id INTEGER PRIMARY KEY, patch_id TEXT, session_id TEXT, origin_db TEXT, vector_id TEXT,
  success INTEGER, reverted INTEGER DEFAULT 0, label TEXT, ts TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS retriever_stats(
  origin_db TEXT PRIMARY KEY, wins INTEGER DEFAULT 0, regrets INTEGER DEFAULT 0);
)";

const std::vector<std::string>& roi_tags() {
  static const std::vector<std::string> kTags = {"success",        "high-ROI",     "low-ROI",
                                                 "bug-introduced", "needs-review", "blocked"};
  return kTags;
}

class NullEvents : public EventSink {
 public:
  void publish(std::string_view, const std::string&) noexcept override {}
};

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

EventSink& null_events() {
  static NullEvents sink;
  return sink;
}

Contributor Contributor::of(std::string_view text, double score) {
  Contributor contributor;
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) contributor.origin = text.substr(0, colon);
  contributor.vector_id =
      colon == std::string_view::npos ? std::string(text) : std::string(text.substr(colon + 1));
  contributor.score = score;
  return contributor;
}

void FeedbackFile::record(const PatchOutcome& outcome, const Contributor& contributor) {
  Connection db = Connection::open(file_of_(contributor.origin), true);
  db.execute(kTables);
  const std::string now = rfc3339(clock_.now());
  Transaction transaction(db);
  db.prepare(
        "INSERT INTO patch_outcomes(patch_id, session_id, origin_db, vector_id, success, label, "
        "ts) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      .run(std::string_view(outcome.patch_id), std::string_view(outcome.session_id),
           std::string_view(contributor.origin), std::string_view(contributor.vector_id),
           std::int64_t{outcome.result}, std::string_view(outcome.result ? "positive" : "negative"),
           std::string_view(now));
  db.prepare(
        "INSERT INTO retriever_stats(origin_db, wins, regrets) VALUES (?1, ?2, ?3) "
        "ON CONFLICT(origin_db) DO UPDATE SET wins = wins + excluded.wins, "
        "regrets = regrets + excluded.regrets")
      .run(std::string_view(contributor.origin), std::int64_t{outcome.result},
           std::int64_t{!outcome.result});
  transaction.commit();
}

TrackedPatch PatchLogger::track_contributors(const std::vector<Contributor>& contributors,
                                             const PatchOutcome& outcome) {
  if (!outcome.roi_tag.empty() &&
      std::ranges::find(roi_tags(), outcome.roi_tag) == roi_tags().end()) {
    throw InvalidArgument("unknown roi_tag \"" + outcome.roi_tag + "\"",
                          "tags are " + join_names(roi_tags()));
  }
  Operation operation("PatchLogger.track_contributors", outcome.session_id, clock_, log_, metrics_);
  const Stopwatch stopwatch;
  TrackedPatch tracked;
  for (const Contributor& contributor : contributors) {
    double& risk = tracked.risks[contributor.origin];
    risk = std::max(risk, contributor.risk);
    if (contributor.risk >= kRiskThreshold) {
      ++tracked.filtered;
      metrics_.add("patch_logger_vectors_total", {{"risk", "risky"}});
      events_.publish("patch:risk_alert", text_of({{"vector", contributor.vector_id},
                                                   {"origin", contributor.origin},
                                                   {"risk", contributor.risk}}));
      continue;
    }
    metrics_.add("patch_logger_vectors_total", {{"risk", "safe"}});
    tracked.roi_deltas[contributor.origin] +=
        outcome.contribution.value_or(outcome.roi_delta.value_or(contributor.score));
    try {
      feedback_.record(outcome, contributor);
    } catch (const std::exception& error) {
      tracked.errors.push_back(contributor.origin + ": " + error.what());
      log_.write({LogLevel::kError,
                  "outcome could not be written",
                  {{"session_id", outcome.session_id},
                   {"store", contributor.origin},
                   {"exception.message", error.what()}}});
    }
  }
  for (const auto& [origin, roi] : tracked.roi_deltas) {
    tracked.roi_delta += roi;
    const Json feedback = {{"db", origin},
                           {"win", outcome.result},
                           {"regret", !outcome.result},
                           {"roi", roi},
                           {"risk", tracked.risks[origin]}};
    events_.publish("retrieval:feedback", text_of(feedback));
    events_.publish("roi:update", text_of({{"db", origin}, {"roi", roi}}));
    events_.publish("embedding:backfill", text_of({{"db", origin}}));
  }
  tracked.error_count = outcome.error_traces.size();
  tracked.patch_difficulty = static_cast<double>(outcome.lines_changed + outcome.context_tokens);
  tracked.enhancement_score = tracked.patch_difficulty + outcome.duration_seconds +
                              static_cast<double>(outcome.tests_passed) -
                              static_cast<double>(outcome.tests_failed) -
                              static_cast<double>(tracked.error_count) + outcome.effort_estimate;
  events_.publish("patch_logger:outcome", text_of({{"patch_id", outcome.patch_id},
                                                   {"session_id", outcome.session_id},
                                                   {"result", outcome.result},
                                                   {"roi_delta", tracked.roi_delta}}));
  metrics_.add(outcome.result ? "patch_success_total" : "patch_failure_total", {});
  metrics_.add("patch_logger_tests_total", {{"status", "passed"}},
               static_cast<double>(outcome.tests_passed));
  metrics_.add("patch_logger_tests_total", {{"status", "failed"}},
               static_cast<double>(outcome.tests_failed));
  metrics_.add("patch_logger_track_contributors_total",
               {{"status", !tracked.errors.empty() ? "error"
                           : outcome.result        ? "success"
                                                   : "failure"}});
  metrics_.set("patch_logger_track_contributors_duration_seconds", {},
               stopwatch.elapsed_ms() / 1000);
  operation.finished(contributors.size());
  return tracked;
}

}  // namespace nearlite::vector_service
