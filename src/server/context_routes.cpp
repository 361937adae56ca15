// Prompt context, and what became of it.
#include <optional>

#include "nearlite/base/error.h"
#include "nearlite/governance/rule_gate.h"
#include "nearlite/service/context_builder.h"
#include "nearlite/service/patch_logger.h"
#include "route.h"
#include "search_request.h"

namespace nearlite::server {
namespace {

using nearlite::json_of;
using vector_service::ContextBuilder;
using vector_service::ContextRequest;
using vector_service::Contributor;
using vector_service::Keep;

constexpr std::size_t kMostContributors = 1000;
constexpr std::size_t kMostTags = 100;
constexpr std::size_t kMostText = 64 << 10;

Json json_of(const HitGovernance& flags) {
  Json alerts = Json::array();
  for (const auto& alert : flags.semantic_alerts)
    alerts.push_back({{"rule", alert.rule}, {"severity", alert.severity}});
  return {{"license", flags.license.empty() ? Json(nullptr) : Json(flags.license)},
          {"semantic_alerts", alerts},
          {"redacted", flags.redacted}};
}

HttpResponse build(Call& call) {
  const Json body = call.body();
  Fields fields(body);
  // "top_k" counts per origin here; the search fields keep their names.
  const std::size_t top_k = fields.count("top_k", 1, 100).value_or(5);
  ContextRequest request;
  request.top_k = top_k;
  request.max_tokens = fields.count("max_tokens", 1, 100'000).value_or(request.max_tokens);
  request.session_id = fields.optional_text("session_id", 256).value_or("");
  request.prioritise = fields.texts("prioritise", kMostTags).value_or(std::vector<std::string>());
  request.exclude_tags =
      fields.texts("exclude_tags", kMostTags).value_or(std::vector<std::string>());
  request.exclude_strategies =
      fields.texts("exclude_strategies", kMostTags).value_or(std::vector<std::string>());
  const std::string keep = fields.optional_text("keep", 16).value_or("best");
  if (keep != "best" && keep != "newest" && keep != "roi")
    fields.refuse("keep", "is not one of best, newest, roi");
  request.keep = keep == "newest" ? Keep::kNewest : keep == "roi" ? Keep::kRoi : Keep::kBest;
  SearchRequest search = read_search_request(fields);
  fields.finish();
  request.retrieval = search.options;
  const ApiParts& parts = call.context.parts;
  // Patches name records of all stores: only who may see all of them is shown any.
  vector_service::VectorMetricsDb* learned =
      call.grant.all_stores ? call.context.learning.known() : nullptr;
  std::optional<vector_service::PatchRetriever> patches;
  vector_service::ContextParts learning;
  static const std::shared_ptr<const Gate> kSecretsOnly = builtin_gate(GateLevel::kSecrets);
  learning.gate = kSecretsOnly;
  learning.safety = &call.context.learning.safety();
  if (learned != nullptr) {
    learning.weights = learned;
    learning.patches =
        &patches.emplace(*learned, *parts.encoder, vector_service::PatchRetrieverSettings(),
                         parts.clock, call.log, parts.metrics);
  }
  vector_service::ContextSettings settings;
  settings.license_denylist.clear();  // what a store's own rules let in is not kept out again
  const ContextBuilder builder(
      [&](std::string_view, const RetrievalOptions& options, const std::string&) {
        SearchRequest wanted = search;
        wanted.options = options;
        return search_open_stores(call, wanted);
      },
      *parts.encoder, parts.clock, call.log, parts.metrics, settings, learning);
  const auto context = builder.build_context(search.question, request);
  Json vectors = Json::array();
  for (const auto& [origin, id, score] : context.vectors)
    vectors.push_back({{"origin", origin}, {"vector_id", id}, {"score", score}});
  Json sources = Json::array();
  for (const auto& entry : context.entries) {
    sources.push_back({{"store", entry.store},
                       {"key", json_of(entry.key)},
                       {"score", entry.score},
                       {"reason", entry.reason},
                       {"stale", entry.stale},
                       {"shortened", entry.shortened},
                       {"flags", json_of(entry.flags)}});
  }
  return json_response({{"context", context.json},
                        {"session_id", context.session_id},
                        {"sources", sources},
                        {"vectors", vectors},
                        {"stats",
                         {{"tokens", context.stats.tokens},
                          {"prompt_tokens", context.stats.prompt_tokens},
                          {"patch_confidence", context.stats.patch_confidence},
                          {"wall_time_ms", context.stats.wall_time_ms}}},
                        {"truncated", context.truncated},
                        {"complete", context.complete}});
}

/// A list of "store:key", or an object of them with their scores.
std::vector<Contributor> contributors_in(Fields& fields, const Json& json) {
  std::vector<Contributor> contributors;
  if (json.size() > kMostContributors) fields.refuse("vector_ids", "has more than 1000 entries");
  if (json.is_object()) {
    for (const auto& [id, score] : json.items()) {
      if (!score.is_number()) fields.refuse("vector_ids", "maps an id to what is no number");
      contributors.push_back(Contributor::of(id, score.get<double>()));
    }
  } else if (json.is_array()) {
    for (const Json& id : json) {
      if (!id.is_string()) fields.refuse("vector_ids", "is not a list of texts like \"store:key\"");
      contributors.push_back(Contributor::of(id.get<std::string>()));
    }
  } else {
    fields.refuse("vector_ids", "is not a list of texts like \"store:key\", or an object of them");
  }
  return contributors;
}

/// Files of what is learned are made by the first outcome that has something to keep there.
vector_service::PatchLearning learning_of(const Call& call,
                                          const vector_service::PatchOutcome& outcome) {
  vector_service::PatchLearning learning;
  if (!call.grant.all_stores) return learning;
  Learning& known = call.context.learning;
  learning.safety = &known.safety();
  learning.encoder = call.context.parts.encoder.get();
  if (!outcome.patch_id.empty() || known.known() != nullptr) {
    learning.weights = &known.made();
    learning.patches = &known.made();
  }
  return learning;
}

HttpResponse track(Call& call) {
  const Json body = call.body();
  Fields fields(body);
  const Json* ids = fields.any("vector_ids");
  if (ids == nullptr)
    throw ApiError(400, "missing_field", "\"vector_ids\" is missing", "vector_ids");
  if (!fields.has("result"))
    throw ApiError(400, "missing_field", "\"result\" is missing", "result");
  std::vector<Contributor> contributors = contributors_in(fields, *ids);
  if (const Json* risks = fields.any("risk_scores")) {
    if (!risks->is_object())
      fields.refuse("risk_scores", "is not an object of \"store:key\": risk");
    for (Contributor& contributor : contributors) {
      const auto risk = risks->find(contributor.origin + ":" + contributor.vector_id);
      if (risk == risks->end()) continue;
      if (!risk->is_number()) fields.refuse("risk_scores", "maps an id to what is no number");
      contributor.risk = risk->get<double>();
    }
  }
  constexpr std::size_t kMany = 1'000'000'000;
  vector_service::PatchOutcome outcome;
  outcome.result = fields.flag("result", false);
  outcome.patch_id = fields.optional_text("patch_id", 256).value_or("");
  outcome.session_id = fields.optional_text("session_id", 256).value_or(call.request.id);
  outcome.contribution = fields.number("contribution", -1e12, 1e12);
  outcome.roi_delta = fields.number("roi_delta", -1e12, 1e12);
  outcome.lines_changed = fields.count("lines_changed", 0, kMany).value_or(0);
  outcome.context_tokens = fields.count("context_tokens", 0, kMany).value_or(0);
  outcome.tests_passed = fields.count("tests_passed", 0, kMany).value_or(0);
  outcome.tests_failed = fields.count("tests_failed", 0, kMany).value_or(0);
  outcome.error_traces = fields.texts("error_traces", 1000).value_or(std::vector<std::string>());
  outcome.effort_estimate = fields.number("effort_estimate", 0, 1e12).value_or(0);
  outcome.roi_tag = fields.optional_text("roi_tag", 64).value_or("");
  if (!outcome.roi_tag.empty() && !vector_service::is_roi_tag(outcome.roi_tag))
    fields.refuse(
        "roi_tag",
        "is not one of success, high-ROI, low-ROI, bug-introduced, needs-review, blocked");
  outcome.summary = fields.optional_text("summary", kMostText).value_or("");
  outcome.diff = fields.optional_text("diff", kMostText).value_or("");
  outcome.outcome = fields.optional_text("outcome", kMostText).value_or("");
  outcome.error_summary = fields.optional_text("error_summary", kMostText).value_or("");
  outcome.enhancement_name = fields.optional_text("enhancement_name", 256).value_or("");
  outcome.duration_seconds = fields.number("duration_s", 0, 1e9).value_or(0);
  fields.finish();
  std::vector<std::string> origins;
  for (const Contributor& contributor : contributors) {
    if (contributor.origin.empty())
      fields.refuse("vector_ids", "has an id without its store: \"store:key\" is wanted");
    origins.push_back(contributor.origin);
  }
  call.stores(origins);  // the rights, and that they exist
  const ApiParts& parts = call.context.parts;
  vector_service::FeedbackFile feedback(
      [&](const std::string& origin) { return parts.stores.source(origin).metrics_file; },
      parts.clock);
  vector_service::PatchLogger logger(feedback, parts.clock, call.log, parts.metrics,
                                     call.context.events, learning_of(call, outcome));
  const auto tracked = logger.track_contributors(contributors, outcome);
  if (!tracked.errors.empty() && tracked.errors.size() + tracked.filtered == contributors.size())
    throw ApiError(503, "unavailable", "the outcome could not be written; see the log");
  return json_response({{"status", "ok"},
                        {"risk_scores", tracked.risks},
                        {"roi_deltas", tracked.roi_deltas},
                        {"roi_delta", tracked.roi_delta},
                        {"patch_difficulty", tracked.patch_difficulty},
                        {"enhancement_score", tracked.enhancement_score},
                        {"filtered", tracked.filtered},
                        {"failed", tracked.errors.size()}});
}

}  // namespace

std::vector<Route> context_routes() {
  return {
      {"POST",
       "/v1/context",
       Right::kRead,
       ErrorForm::kOwn,
       &build,
       "Context for a prompt, within a token budget",
       {{"query", "string", true, "the question",
         R"({"pattern": "[^ \\t\\r\\n\\v\\f]", "maxLength": 65536})"},
        {"top_k", "integer", false, "entries per origin (default 5)",
         R"({"minimum": 1, "maximum": 100})"},
        {"max_tokens", "integer", false, "the budget, counted by the model (default 800)",
         R"({"minimum": 1, "maximum": 100000})"},
        {"session_id", "string", false, "comes back with the answer", R"({"maxLength": 256})"},
        {"prioritise", "string[]", false, "origins that come first", R"({"maxItems": 100})"},
        {"exclude_tags", "string[]", false, "leave out records with one of these tags",
         R"({"maxItems": 100})"},
        {"exclude_strategies", "string[]", false,
         "leave out records whose strategy_hash or strategy is one of these",
         R"({"maxItems": 100})"},
        {"keep", "string", false, "which entries stay when not all fit (default: best)",
         R"({"enum": ["best", "newest", "roi"]})"},
        {"stores", "string[]", false, "default: all", R"({"maxItems": 256})"},
        {"filter", "object[]", false, "as in /v1/search",
         R"({"maxItems": 32, "items": {"type": "object", "required": ["field", "op", "value"],
               "additionalProperties": false, "properties": {"field": {"type": "string"},
               "op": {"enum": ["=", "!=", "<", "<=", ">", ">=", "in", "like"]}, "value": {}}}})"},
        {"mode", "string", false, "as in /v1/search",
         R"({"enum": ["hybrid", "vector", "keyword"]})"},
        {"recall", "number", false, "as in /v1/search", R"({"minimum": 0.01, "maximum": 1})"},
        {"distinct", "boolean", false, "as in /v1/search"},
        {"limit", "integer", false, "not used: top_k counts"},
        {"k", "integer", false, "not used: top_k counts"},
        {"explain", "boolean", false, "not used"},
        {"min_confidence", "number", false, "as in /v1/search", R"({"minimum": 0, "maximum": 1})"}},
       200,
       "application/json",
       false,
       "Context"},
      {"POST",
       "/v1/patches",
       Right::kWrite,
       ErrorForm::kOwn,
       &track,
       "What became of work that records went into",
       {{"vector_ids", "string[]|object", true, "\"store:key\" with scores, or a list of them"},
        {"result", "boolean", true, "it helped"},
        {"patch_id", "string", false, "", R"({"maxLength": 256})"},
        {"session_id", "string", false, "", R"({"maxLength": 256})"},
        {"contribution", "number", false, "of each vector (default: roi_delta, else its score)",
         R"({"minimum": -1e12, "maximum": 1e12})"},
        {"roi_delta", "number", false, "", R"({"minimum": -1e12, "maximum": 1e12})"},
        {"risk_scores", "object", false, "\"store:key\": 0 to 1; 0.8 and more are left out",
         R"({"additionalProperties": {"type": "number"}})"},
        {"lines_changed", "integer", false, "", R"({"minimum": 0, "maximum": 1000000000})"},
        {"context_tokens", "integer", false, "", R"({"minimum": 0, "maximum": 1000000000})"},
        {"tests_passed", "integer", false, "", R"({"minimum": 0, "maximum": 1000000000})"},
        {"tests_failed", "integer", false, "", R"({"minimum": 0, "maximum": 1000000000})"},
        {"error_traces", "string[]", false, "", R"({"maxItems": 1000})"},
        {"effort_estimate", "number", false, "", R"({"minimum": 0, "maximum": 1e12})"},
        {"duration_s", "number", false, "from start to end", R"({"minimum": 0, "maximum": 1e9})"},
        {"summary", "string", false, "with a patch_id: what it is found by in later contexts",
         R"({"maxLength": 65536})"},
        {"diff", "string", false, "", R"({"maxLength": 65536})"},
        {"outcome", "string", false, "in words", R"({"maxLength": 65536})"},
        {"error_summary", "string", false, "what went wrong: remembered when result is false",
         R"({"maxLength": 65536})"},
        {"enhancement_name", "string", false, "", R"({"maxLength": 256})"},
        {"roi_tag", "string", false, "",
         R"({"enum": ["success", "high-ROI", "low-ROI", "bug-introduced", "needs-review", "blocked"]})"}},
       200,
       "application/json",
       false,
       "PatchOutcome"},
  };
}

}  // namespace nearlite::server
