#include "nearlite/service/context_builder.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "context_scoring.h"
#include "context_text.h"
#include "hit_fields.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/service/embedding_freshness.h"
#include "nearlite/service/service_error.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

constexpr std::size_t kPassageBytes = 2000;

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

/// "  The  Same " and "the same" are one description.
std::string plain(std::string_view text) {
  std::string words;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!space && !inside && !words.empty()) words += ' ';
    if (!space) words += c;
    inside = !space;
  }
  return to_lower_ascii(words);
}

}  // namespace

ContextBuilder::ContextBuilder(Search search, const TextEncoder& encoder, const Clock& clock,
                               LogSink& log, MetricsSink& metrics, ContextSettings settings,
                               ContextParts parts)
    : search_(std::move(search)),
      encoder_(encoder),
      clock_(clock),
      log_(log),
      metrics_(metrics),
      settings_(std::move(settings)),
      parts_(std::move(parts)) {
  if (settings_.db_weights.empty()) refresh_db_weights();
}

void ContextBuilder::refresh_db_weights(std::optional<std::map<std::string, double>> weights) {
  if (!weights && parts_.weights == nullptr) return;
  std::map<std::string, double> fresh =
      weights ? std::move(*weights) : parts_.weights->db_weights();
  // Learned weights are shares: the most trusted origin counts as much as one that is not known.
  double most = 0;
  for (const auto& [db, weight] : fresh) most = std::max(most, weight);
  if (!weights && most > 0) {
    for (auto& [db, weight] : fresh) weight /= most;
  }
  const std::scoped_lock lock(mutex_);
  settings_.db_weights = std::move(fresh);
}

ContextSettings ContextBuilder::current_settings() const {
  const std::scoped_lock lock(mutex_);
  return settings_;
}

void ContextBuilder::refuse_stale() const {
  if (!parts_.stale) return;
  std::map<std::string, std::string> stale = parts_.stale();
  if (stale.empty()) return;
  if (parts_.rebuild) {
    parts_.rebuild();
    stale = parts_.stale();
  }
  if (!stale.empty()) throw StaleEmbeddingsError(std::move(stale));
}

BuiltContext ContextBuilder::build_context(std::string_view question,
                                           const ContextRequest& request) const {
  BuiltContext context;
  context.session_id =
      request.session_id.empty() ? "context-" + rfc3339(clock_.now()) : request.session_id;
  Operation operation("ContextBuilder.build_context", context.session_id, clock_, log_, metrics_);
  if (blank(question)) throw MalformedPromptError("the question is blank");
  if (request.max_tokens == 0) throw InvalidArgument("max_tokens is 0, at least 1 is needed");
  refuse_stale();
  const Stopwatch stopwatch;
  RetrievalOptions options = request.retrieval;
  options.k = request.top_k * 5;
  options.snippet_bytes = kPassageBytes;
  const RetrievalResult found = search_(question, options, context.session_id);
  context.complete = found.failures.empty();
  context.entries = entries_of(found, request, current_settings());
  add_patches(question, request, context.entries, context.stats);
  sort_by_group(context.entries, request.prioritise);
  context.truncated = fit_into(context.entries, request.max_tokens, request.keep, encoder_);
  context.json = text_of_entries(context.entries);
  for (const ContextEntry& entry : context.entries)
    context.vectors.emplace_back(entry.origin, entry.store + ":" + entry.key.display(),
                                 entry.score);
  context.stats.tokens = count_tokens(encoder_, context.json);
  context.stats.prompt_tokens = count_tokens(encoder_, question);
  context.stats.wall_time_ms = stopwatch.elapsed_ms();
  metrics_.add("retrieval_tokens_injected_total", {}, static_cast<double>(context.stats.tokens));
  operation.finished(context.entries.size());
  return context;
}

std::vector<ContextEntry> ContextBuilder::entries_of(const RetrievalResult& found,
                                                     const ContextRequest& request,
                                                     const ContextSettings& settings) const {
  const std::map<std::string, Reliability> reliability =
      parts_.reliability ? parts_.reliability() : std::map<std::string, Reliability>();
  const ContextScoring scoring{settings, reliability, clock_.now()};
  std::vector<ContextEntry> entries;
  std::set<std::pair<std::string, RecordKey>> seen;
  for (RetrievalHit hit : found.hits) {
    if (!seen.emplace(hit.store, hit.key).second || has_tag(hit, request.exclude_tags)) continue;
    const auto excluded = [&](const char* field) {
      const std::string strategy = field_text(hit, field);
      return !strategy.empty() && std::ranges::find(request.exclude_strategies, strategy) !=
                                      request.exclude_strategies.end();
    };
    if (excluded("strategy_hash") || excluded("strategy")) continue;
    const std::string error_text = field_text(hit, "error");
    HitGovernance flags = parts_.gate ? govern_hit(*parts_.gate, hit) : HitGovernance();
    double risk = 0;
    if (parts_.safety != nullptr) {
      const SafetyVerdict verdict = parts_.safety->evaluate(flags, error_text, hit.origin);
      if (!verdict.passed) continue;
      risk = verdict.score;
    }
    if (flags.alignment_severity > settings.max_alignment_severity ||
        flags.semantic_alerts.size() > settings.max_alerts ||
        settings.license_denylist.contains(flags.license))
      continue;
    entries.push_back(entry_of(hit, std::move(flags), risk, scoring));
  }
  std::ranges::stable_sort(entries, std::ranges::greater(), &ContextEntry::score);
  std::map<std::string, std::size_t> per_group;
  std::erase_if(entries, [&](const ContextEntry& entry) {
    return per_group[group_of(entry.origin)]++ >= request.top_k;
  });
  return entries;
}

void ContextBuilder::add_patches(std::string_view question, const ContextRequest& request,
                                 std::vector<ContextEntry>& entries, ContextStats& stats) const {
  if (parts_.patches == nullptr) return;
  const ContextSettings settings = current_settings();
  const std::map<std::string, Reliability> none;
  const ContextScoring scoring{settings, none, clock_.now()};
  for (const FoundPatch& patch :
       parts_.patches->search(question, request.top_k, request.exclude_tags, request.session_id)) {
    stats.patch_confidence = std::max(stats.patch_confidence, patch.similarity);
    entries.push_back(entry_of(patch, scoring));
  }
}

std::future<BuiltContext> ContextBuilder::build_async(std::string question,
                                                      ContextRequest request) const {
  return std::async(std::launch::async, [this, question = std::move(question),
                                         request = std::move(request)] {
    Operation operation("ContextBuilder.build_async", request.session_id, clock_, log_, metrics_);
    BuiltContext context = build_context(question, request);
    operation.finished(context.entries.size());
    return context;
  });
}

BuiltPrompt ContextBuilder::build_prompt(std::string_view question,
                                         const PromptRequest& request) const {
  BuiltPrompt prompt;
  prompt.session_id =
      request.session_id.empty() ? "prompt-" + rfc3339(clock_.now()) : request.session_id;
  Operation operation("ContextBuilder.build_prompt", prompt.session_id, clock_, log_, metrics_);
  if (blank(question)) throw MalformedPromptError("the question is blank");
  const ContextSettings settings = current_settings();
  std::vector<std::string> questions = {std::string(question)};
  for (const std::string& more : {request.intent, request.error_log}) {
    if (!blank(more)) questions.push_back(more);
  }
  for (const std::string& more : request.latent_queries) {
    if (!blank(more)) questions.push_back(more);
  }
  std::vector<std::pair<double, ContextEntry>> examples;
  std::set<std::string> described;
  for (const std::string& one : questions) {
    ContextRequest wanted;
    wanted.top_k = request.top_k;
    wanted.max_tokens = settings.prompt_max_tokens * 4;  // what fits is decided below
    wanted.session_id = prompt.session_id;
    for (ContextEntry& entry : build_context(one, wanted).entries) {
      if (!described.insert(plain(entry.desc)).second) continue;
      const double priority = entry.score * settings.prompt_score_weight +
                              entry.roi * settings.roi_weight +
                              entry.recency * settings.recency_weight -
                              entry.risk_score.value_or(0) * settings.safety_weight;
      examples.emplace_back(priority, std::move(entry));
    }
  }
  std::ranges::stable_sort(examples, std::ranges::greater(),
                           &std::pair<double, ContextEntry>::first);
  prompt.text = std::string(question) + "\n";
  for (auto& [priority, entry] : examples) {
    const std::string line = text_of_entry(entry) + "\n";
    const std::size_t tokens = count_tokens(encoder_, line);
    if (prompt.tokens + tokens > settings.prompt_max_tokens) continue;
    prompt.tokens += tokens;
    prompt.text += line;
    prompt.examples.push_back(std::move(entry));
  }
  operation.finished(prompt.examples.size());
  return prompt;
}

}  // namespace nearlite::vector_service
