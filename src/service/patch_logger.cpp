#include "nearlite/service/patch_logger.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kStep = 0.1;  // of a weight, before the enhancement score

const std::vector<std::string>& roi_tags() {
  static const std::vector<std::string> kTags = {"success",        "high-ROI",     "low-ROI",
                                                 "bug-introduced", "needs-review", "blocked"};
  return kTags;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

double count_of(std::size_t number) { return static_cast<double>(number); }

}  // namespace

/// One outcome on its way.
struct PatchLogger::Tracking {
  const PatchOutcome& outcome;
  TrackedPatch tracked{};
  std::vector<const Contributor*> learned{};
  std::map<std::string, WinsAndRegrets> standing{};
};

bool is_roi_tag(std::string_view tag) {
  return std::ranges::find(roi_tags(), tag) != roi_tags().end();
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

TrackedPatch PatchLogger::track_contributors(const std::vector<Contributor>& contributors,
                                             const PatchOutcome& outcome) {
  if (!outcome.roi_tag.empty() && !is_roi_tag(outcome.roi_tag)) {
    throw InvalidArgument("unknown roi_tag \"" + outcome.roi_tag + "\"",
                          "tags are " + join_names(roi_tags()));
  }
  Operation operation("PatchLogger.track_contributors", outcome.session_id, clock_, log_, metrics_);
  const Stopwatch stopwatch;
  Tracking tracking{outcome};
  TrackedPatch& tracked = tracking.tracked;
  tracked.lines_changed = outcome.lines_changed;
  tracked.context_tokens = outcome.context_tokens;
  tracked.tests_passed = outcome.tests_passed;
  tracked.duration_s = outcome.duration_seconds;
  tracked.effort_estimate = outcome.effort_estimate;
  tracked.error_count = outcome.error_traces.size();
  tracked.patch_difficulty = count_of(outcome.lines_changed + outcome.context_tokens);
  const EnhancementWeights& by = learning_.enhancement;
  tracked.enhancement_score =
      tracked.patch_difficulty * by.difficulty + outcome.duration_seconds * by.time +
      count_of(outcome.tests_passed) * by.tests_passed -
      count_of(outcome.tests_failed) * by.tests_failed -
      count_of(tracked.error_count) * by.error_traces + outcome.effort_estimate * by.effort;
  for (const Contributor& contributor : contributors) {
    if (is_safe(tracking, contributor)) learn_from(tracking, contributor);
  }
  tell_origins(tracking);
  keep_patch(tracking);
  adjust_weights(tracking);
  tell_outcome(tracking);
  count(tracking);
  metrics_.set("patch_logger_track_contributors_duration_seconds", {},
               stopwatch.elapsed_ms() / 1000);
  operation.finished(contributors.size());
  return std::move(tracked);
}

std::future<TrackedPatch> PatchLogger::track_contributors_async(
    std::vector<Contributor> contributors, PatchOutcome outcome) {
  return std::async(std::launch::async,
                    [this, contributors = std::move(contributors), outcome = std::move(outcome)] {
                      Operation operation("PatchLogger.track_contributors_async",
                                          outcome.session_id, clock_, log_, metrics_);
                      TrackedPatch tracked = track_contributors(contributors, outcome);
                      operation.finished(contributors.size());
                      return tracked;
                    });
}

bool PatchLogger::is_safe(Tracking& tracking, const Contributor& contributor) {
  TrackedPatch& tracked = tracking.tracked;
  double risk = contributor.risk;
  bool governed = true;
  if (learning_.safety != nullptr) {
    governed = learning_.safety->pre_embed_check(contributor.flags);
    if (governed) {
      const SafetyVerdict verdict =
          learning_.safety->evaluate(contributor.flags, contributor.error_text, contributor.origin);
      risk = std::max(risk, verdict.score);
    }
  }
  double& highest = tracked.risks[contributor.origin];
  highest = std::max(highest, risk);
  if (governed && risk < kRiskThreshold) {
    metrics_.add("patch_logger_vectors_total", {{"risk", "safe"}});
    return true;
  }
  ++tracked.filtered;
  metrics_.add("patch_logger_vectors_total", {{"risk", governed ? "risky" : "filtered"}});
  if (governed)
    events_.publish("patch:risk_alert", text_of({{"vector", contributor.vector_id},
                                                 {"origin", contributor.origin},
                                                 {"risk", risk},
                                                 {"patch_id", tracking.outcome.patch_id}}));
  return false;
}

void PatchLogger::failed(Tracking& tracking, const std::string& what, const std::exception& error) {
  tracking.tracked.errors.push_back(what + ": " + error.what());
  log_.write({LogLevel::kError,
              "outcome could not be written",
              {{"session_id", tracking.outcome.session_id},
               {"store", what},
               {"exception.message", error.what()}}});
}

void PatchLogger::learn_from(Tracking& tracking, const Contributor& contributor) {
  const PatchOutcome& outcome = tracking.outcome;
  const double roi = outcome.contribution.value_or(outcome.roi_delta.value_or(contributor.score));
  tracking.tracked.roi_deltas[contributor.origin] += roi;
  tracking.tracked.roi_delta += roi;
  try {
    tracking.standing[contributor.origin] = feedback_.record(outcome, contributor);
    tracking.learned.push_back(&contributor);
  } catch (const std::exception& error) {
    failed(tracking, contributor.origin, error);
  }
  if (outcome.result || learning_.safety == nullptr) return;
  const std::string& what =
      !outcome.error_summary.empty() ? outcome.error_summary : contributor.error_text;
  try {
    learning_.safety->record_failure(what, contributor.origin);
  } catch (const std::exception& error) {
    failed(tracking, "failures", error);
  }
}

void PatchLogger::tell_origins(Tracking& tracking) {
  const PatchOutcome& outcome = tracking.outcome;
  for (const auto& [origin, roi] : tracking.tracked.roi_deltas) {
    const double risk = tracking.tracked.risks[origin];
    Json feedback = {{"db", origin},
                     {"win", outcome.result},
                     {"regret", !outcome.result},
                     {"roi", roi},
                     {"risk", risk}};
    if (const auto standing = tracking.standing.find(origin); standing != tracking.standing.end()) {
      const double all = static_cast<double>(standing->second.wins + standing->second.regrets);
      const double win_rate = all > 0 ? static_cast<double>(standing->second.wins) / all : 0;
      feedback["win_rate"] = win_rate;
      feedback["regret_rate"] = all > 0 ? 1 - win_rate : 0;
      metrics_.set("retriever_win_rate", {{"db", origin}}, win_rate);
      metrics_.set("retriever_regret_rate", {{"db", origin}}, all > 0 ? 1 - win_rate : 0);
    }
    metrics_.set("patch_logger_db_risk_score", {{"origin_db", origin}}, risk);
    metrics_.set("patch_logger_db_roi_delta", {{"origin_db", origin}}, roi);
    events_.publish("retrieval:feedback", text_of(feedback));
    events_.publish("roi:update", text_of({{"db", origin}, {"roi", roi}}));
    events_.publish("embedding:backfill", text_of({{"db", origin}}));
  }
}

/// Of all origins of this outcome together.
void PatchLogger::count_standing(const Tracking& tracking) {
  WinsAndRegrets all;
  for (const auto& [origin, standing] : tracking.standing) {
    all.wins += standing.wins;
    all.regrets += standing.regrets;
  }
  if (all.wins + all.regrets > 0)
    metrics_.set("retrieval_win_rate", {},
                 static_cast<double>(all.wins) / static_cast<double>(all.wins + all.regrets));
}

void PatchLogger::keep_patch(Tracking& tracking) {
  const PatchOutcome& outcome = tracking.outcome;
  if (learning_.patches == nullptr || outcome.patch_id.empty()) return;
  const TrackedPatch& tracked = tracking.tracked;
  PatchRecord patch{.patch_id = outcome.patch_id,
                    .summary = outcome.summary,
                    .diff = outcome.diff,
                    .outcome = outcome.outcome,
                    .roi_tag = outcome.roi_tag,
                    .roi_delta = tracked.roi_delta,
                    .enhancement_score = tracked.enhancement_score,
                    .lines_changed = outcome.lines_changed,
                    .tests_passed = outcome.tests_passed,
                    .context_tokens = outcome.context_tokens,
                    .patch_difficulty = tracked.patch_difficulty,
                    .time_to_completion = outcome.duration_seconds,
                    .error_trace_count = outcome.error_traces.size(),
                    .effort_estimate = outcome.effort_estimate,
                    .errors = outcome.error_traces,
                    .result = outcome.result};
  try {
    std::vector<float> vector;
    std::string model;
    const std::string text =
        outcome.summary.empty() ? outcome.diff : outcome.summary + "\n" + outcome.diff;
    if (learning_.encoder != nullptr && !text.empty()) {
      const std::vector<std::string_view> texts = {text};
      vector = learning_.encoder->encode(texts, TextRole::kDocument).vectors;
      model = learning_.encoder->info().identity;
    }
    learning_.patches->put(patch, vector, model);
  } catch (const std::exception& error) {
    failed(tracking, "patch " + outcome.patch_id, error);
  }
}

/// +- 0.1 x |factor| for each vector, and once for each origin; factor: the enhancement score,
/// turned by tag and failed tests, thinned by error traces. Bounded: the size of a patch must not
/// make one outcome decide everything.
void PatchLogger::adjust_weights(Tracking& tracking) {
  if (learning_.weights == nullptr || tracking.learned.empty()) return;
  const PatchOutcome& outcome = tracking.outcome;
  const double score = tracking.tracked.enhancement_score;
  const double size = score == 0 ? 1 : std::abs(score) / (1 + std::abs(score));
  const std::string tag =
      !outcome.roi_tag.empty() ? outcome.roi_tag : (outcome.result ? "success" : "blocked");
  const bool good = (tag == "success" || tag == "high-ROI") && outcome.tests_failed == 0;
  const double delta = (good ? kStep : -kStep) * size / (1 + count_of(outcome.error_traces.size()));
  try {
    for (const Contributor* contributor : tracking.learned)
      learning_.weights->adjust_vector(contributor->id(), delta);
    for (const auto& [origin, standing] : tracking.standing)
      learning_.weights->adjust_db(origin, delta);
  } catch (const std::exception& error) {
    failed(tracking, "weights", error);
  }
}

void PatchLogger::tell_outcome(const Tracking& tracking) {
  const PatchOutcome& outcome = tracking.outcome;
  const TrackedPatch& tracked = tracking.tracked;
  if (outcome.diff_risk_score >= kRiskThreshold)
    events_.publish("patch:risk_alert", text_of({{"patch_id", outcome.patch_id},
                                                 {"risk", outcome.diff_risk_score},
                                                 {"flags", outcome.risk_flags}}));
  events_.publish("patch_logger:outcome", text_of({{"patch_id", outcome.patch_id},
                                                   {"session_id", outcome.session_id},
                                                   {"result", outcome.result},
                                                   {"roi_delta", tracked.roi_delta}}));
  events_.publish("patch:summary", text_of({{"patch_id", outcome.patch_id},
                                            {"result", outcome.result},
                                            {"roi_tag", outcome.roi_tag},
                                            {"enhancement_name", outcome.enhancement_name},
                                            {"enhancement_score", tracked.enhancement_score},
                                            {"patch_difficulty", tracked.patch_difficulty},
                                            {"lines_changed", outcome.lines_changed},
                                            {"tests_passed", outcome.tests_passed},
                                            {"context_tokens", outcome.context_tokens},
                                            {"error_count", tracked.error_count},
                                            {"duration_s", tracked.duration_s}}));
}

void PatchLogger::count(const Tracking& tracking) {
  count_standing(tracking);
  const PatchOutcome& outcome = tracking.outcome;
  metrics_.add(outcome.result ? "patch_success_total" : "patch_failure_total", {});
  metrics_.add("patch_logger_tests_total", {{"status", "passed"}}, count_of(outcome.tests_passed));
  metrics_.add("patch_logger_tests_total", {{"status", "failed"}}, count_of(outcome.tests_failed));
  if (!tracking.tracked.errors.empty())
    metrics_.add("patch_logger_failures_total", {}, count_of(tracking.tracked.errors.size()));
  metrics_.add("patch_logger_track_contributors_total",
               {{"status", !tracking.tracked.errors.empty() ? "error"
                           : outcome.result                 ? "success"
                                                            : "failure"}});
}

}  // namespace nearlite::vector_service
