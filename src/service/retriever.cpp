#include "nearlite/service/retriever.h"

#include <algorithm>
#include <cmath>

#include "hit_fields.h"
#include "nearlite/base/names.h"
#include "nearlite/governance/rule_gate.h"
#include "nearlite/service/service_error.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

constexpr int kAttempts = 2;
constexpr std::chrono::seconds kRateLimitPause{1};

bool is_rate_limit(std::string_view message) {
  const std::string text = to_lower_ascii(message);
  return text.find("rate limit") != std::string::npos || text.find("429") != std::string::npos;
}

/// Every option is part of the key: none of them may be answered from another's result.
std::string cache_key(std::string_view question, const RetrieverQuery& query,
                      const RetrieverSettings& settings) {
  std::string key;
  const auto add = [&key](std::string_view part) {
    key += std::to_string(part.size()) + ":";  // lengths: no two lists look the same joined
    key += part;
  };
  add(question);
  for (const std::string& db : query.dbs) add(db);
  key += '|';
  for (const std::string& tag : query.exclude_tags) add(tag);
  key += '|';
  for (const double value :
       {static_cast<double>(query.top_k.value_or(settings.top_k)),
        query.similarity_threshold.value_or(settings.similarity_threshold),
        query.max_alert_severity.value_or(settings.max_alert_severity),
        query.use_fts_fallback.value_or(settings.use_fts_fallback) ? 1.0 : 0.0})
    add(std::to_string(value));
  return key;
}

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

}  // namespace

StoreSearch search_of(std::vector<std::shared_ptr<Store>> stores) {
  return [stores = std::move(stores)](std::string_view question, const RetrievalOptions& options,
                                      std::span<const std::string> dbs) {
    std::vector<Store*> chosen;
    for (const auto& store : stores) {
      if (dbs.empty() || std::ranges::any_of(dbs, [&](const std::string& db) {
            return db == store->name() || db == store->origin() || db == store->class_name();
          }))
        chosen.push_back(store.get());
    }
    if (chosen.empty() && !dbs.empty()) throw InvalidArgument("no store is called " + dbs.front());
    return search_stores(chosen, question, options);
  };
}

// -------------------------------------------------------------------------------------- the cache

std::optional<Retrieved> RetrievalCache::find(const std::string& key) {
  const std::scoped_lock lock(mutex_);
  const auto kept = kept_.find(key);
  if (kept == kept_.end()) return std::nullopt;
  if (clock_.now() - kept->second.at > keep_) {
    kept_.erase(kept);
    return std::nullopt;
  }
  return kept->second.answer;
}

void RetrievalCache::put(const std::string& key, const Retrieved& answer) {
  const std::scoped_lock lock(mutex_);
  if (kept_.size() >= most_ && !kept_.contains(key)) {
    const auto oldest =
        std::ranges::min_element(kept_, {}, [](const auto& entry) { return entry.second.at; });
    if (oldest != kept_.end()) kept_.erase(oldest);
  }
  if (most_ > 0) kept_[key] = {clock_.now(), answer};
}

// ---------------------------------------------------------------------------------- the retriever

Retriever::Retriever(std::vector<std::shared_ptr<Store>> stores, const Clock& clock, LogSink& log,
                     MetricsSink& metrics)
    : stores_(std::move(stores)),
      parts_{.search = search_of(stores_)},
      clock_(clock),
      monotonic_(monotonic_clock()),
      log_(log),
      metrics_(metrics) {}

Retriever::Retriever(RetrieverParts parts, RetrieverSettings settings, const Clock& clock,
                     const MonotonicClock& monotonic, LogSink& log, MetricsSink& metrics)
    : parts_(std::move(parts)),
      settings_(std::move(settings)),
      clock_(clock),
      monotonic_(monotonic),
      log_(log),
      metrics_(metrics) {
  if (!parts_.search) throw RetrieverConfigurationError("a Retriever needs somebody to ask");
  if (settings_.top_k == 0) throw RetrieverConfigurationError("a Retriever's top_k is 0");
}

RetrievalResult Retriever::search(std::string_view question, const RetrievalOptions& options,
                                  const std::string& session_id) const {
  return counted(session_id, [&] { return parts_.search(question, options, {}); });
}

RetrievalResult Retriever::search_by_vector(std::span<const float> vector,
                                            const RetrievalOptions& options,
                                            const std::string& session_id) const {
  return counted(session_id, [&] {
    std::vector<Store*> stores;
    for (const auto& store : stores_) stores.push_back(store.get());
    return nearlite::search_by_vector(stores, vector, options);
  });
}

RetrievalResult Retriever::counted(const std::string& session_id,
                                   const std::function<RetrievalResult()>& search) const {
  Operation operation("Retriever.search", session_id, clock_, log_, metrics_);
  RetrievalResult result = search();
  count_retrieval(result, metrics_);
  operation.finished(result.hits.size());
  return result;
}

Retrieved Retriever::search(std::string_view question, const RetrieverQuery& query) const {
  Operation operation("Retriever.search", query.session_id, clock_, log_, metrics_);
  if (blank(question)) throw MalformedPromptError("the question is blank");
  if (query.top_k == std::size_t{0}) throw MalformedPromptError("top_k is 0, at least 1 is needed");
  const std::string key =
      parts_.cache == nullptr ? std::string() : cache_key(question, query, settings_);
  if (parts_.cache != nullptr) {
    if (auto kept = parts_.cache->find(key)) {
      operation.finished(kept->items.size());
      return std::move(*kept);
    }
  }
  Retrieved found = answer(question, query);
  if (parts_.cache != nullptr && !found.items.empty() && !found.is_fallback())
    parts_.cache->put(key, found);
  operation.finished(found.items.size());
  return found;
}

Retrieved Retriever::answer(std::string_view question, const RetrieverQuery& query) const {
  const double threshold = query.similarity_threshold.value_or(settings_.similarity_threshold);
  const std::size_t top_k = query.top_k.value_or(settings_.top_k);
  Retrieved found;
  RetrievalOptions options;
  options.k = top_k;
  for (int attempt = 0; attempt < kAttempts; ++attempt, options.k *= 2) {
    RetrievalResult result = ask(question, options, query);
    found.failures = std::move(result.failures);
    found.confidence = result.hits.empty() ? 0 : result.hits.front().score;
    found.fallback_reason = result.hits.empty() ? "no results" : "low confidence";
    if (result.hits.empty() || found.confidence < threshold) continue;
    found.items = governed(std::move(result.hits), query);
    if (found.items.empty()) continue;
    if (found.items.size() > top_k) found.items.resize(top_k);
    found.fallback_reason.clear();
    return found;
  }
  if (!query.use_fts_fallback.value_or(settings_.use_fts_fallback)) return found;
  options.k = top_k;
  options.mode = SearchMode::kKeyword;
  found.items = governed(ask(question, options, query).hits, query);
  return found;
}

RetrievalResult Retriever::ask(std::string_view question, const RetrievalOptions& options,
                               const RetrieverQuery& query) const {
  for (bool again = false;; again = true) {
    try {
      RetrievalResult result = parts_.search(question, options, query.dbs);
      count_retrieval(result, metrics_);
      if (result.stores.empty() && !result.failures.empty())
        throw ServiceFailure("no store could answer: " + result.failures.front().store + ": " +
                             result.failures.front().message);
      return result;
    } catch (const VectorServiceError&) {
      throw;
    } catch (const InvalidArgument&) {
      throw;  // the caller's: asking again changes nothing
    } catch (const std::exception& error) {
      if (!is_rate_limit(error.what()))
        throw ServiceFailure(std::string("the search failed: ") + error.what());
      if (again) throw RateLimitError(std::string("the search is limited: ") + error.what());
      monotonic_.wait_until(monotonic_.now() + kRateLimitPause, {});
    }
  }
}

std::vector<RetrievedItem> Retriever::governed(std::vector<RetrievalHit> hits,
                                               const RetrieverQuery& query) const {
  std::vector<RetrievedItem> items;
  for (RetrievalHit& hit : hits) {
    if (has_tag(hit, query.exclude_tags)) continue;
    if (auto item = governed(std::move(hit), query)) {
      items.push_back(std::move(*item));
    } else {
      metrics_.add("patch_logger_vectors_total", {{"risk", "filtered"}});
    }
  }
  std::ranges::stable_sort(items, std::ranges::greater(), &RetrievedItem::score);
  return items;
}

std::optional<RetrievedItem> Retriever::governed(RetrievalHit hit,
                                                 const RetrieverQuery& query) const {
  static const std::shared_ptr<const Gate> kBuiltIn = builtin_gate(GateLevel::kFull);
  const std::string error_text = field_text(hit, "error");  // before it is redacted
  RetrievedItem item;
  item.flags = govern_hit(parts_.gate ? *parts_.gate : *kBuiltIn, hit);
  const double most = query.max_alert_severity.value_or(settings_.max_alert_severity);
  if (item.flags.alignment_severity > most) return std::nullopt;
  item.risk_score = field_number(hit, "risk_score");
  if (parts_.safety != nullptr) {
    const SafetyVerdict verdict = parts_.safety->evaluate(item.flags, error_text, hit.origin);
    if (!verdict.passed) return std::nullopt;
    item.risk_score = std::max(item.risk_score, verdict.score);
  } else if (default_license_denylist().contains(item.flags.license)) {
    return std::nullopt;
  }
  const double taken_off = item.flags.alignment_severity + (item.flags.license.empty() ? 0 : 1) +
                           item.risk_score * settings_.risk_penalty;
  item.roi_tag = field_text(hit, "roi_tag");
  item.score = std::max(hit.score - taken_off, 0.0);
  if (const auto weight = settings_.roi_tag_weights.find(item.roi_tag);
      weight != settings_.roi_tag_weights.end())
    item.score = std::max(item.score - weight->second, 0.0);
  item.origin_db = hit.origin;
  item.record_id = hit.key.display();
  item.reason = std::move(hit.reason);
  item.metadata = std::move(hit.fields);
  item.text = std::move(hit.snippet);
  return item;
}

std::future<Retrieved> Retriever::search_async(std::string question, RetrieverQuery query) const {
  return std::async(
      std::launch::async, [this, question = std::move(question), query = std::move(query)] {
        Operation operation("Retriever.search_async", query.session_id, clock_, log_, metrics_);
        Retrieved found = search(question, query);
        operation.finished(found.items.size());
        return found;
      });
}

Retrieved Retriever::search_bots(std::string_view question, RetrieverQuery query) const {
  query.dbs = {"bot"};
  return search(question, query);
}
Retrieved Retriever::search_workflows(std::string_view question, RetrieverQuery query) const {
  query.dbs = {"workflow"};
  return search(question, query);
}
Retrieved Retriever::search_enhancements(std::string_view question, RetrieverQuery query) const {
  query.dbs = {"enhancement"};
  return search(question, query);
}
Retrieved Retriever::search_errors(std::string_view question, RetrieverQuery query) const {
  query.dbs = {"error"};
  return search(question, query);
}

}  // namespace nearlite::vector_service
