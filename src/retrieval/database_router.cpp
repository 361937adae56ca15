#include "nearlite/retrieval/database_router.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <map>
#include <set>

#include "nearlite/base/error.h"
#include "nearlite/retrieval/governed_hit.h"

namespace nearlite {
namespace {

bool is_information(const std::string& origin) {
  return origin == "information" || origin == "info" || origin == "research";
}

/// Leaves out what repeats a better result, beyond what its origin may.
void drop_redundant(std::vector<RouterHit>& hits, double limit) {
  std::map<std::string, std::size_t> num_of;  // by origin
  for (const RouterHit& hit : hits) ++num_of[hit.origin_db];
  std::map<std::string, std::size_t> num_repeated;
  std::set<std::string> said;
  std::erase_if(hits, [&](const RouterHit& hit) {
    if (said.insert(text_fingerprint(hit.snippet)).second) return false;
    const double allowed = limit * static_cast<double>(num_of[hit.origin_db]);
    return static_cast<double>(++num_repeated[hit.origin_db]) > allowed;
  });
}

double limit_of(const std::string& name, const std::string& text, double least) {
  double limit = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, limit);
  if (error != std::errc{} || stop != end || !(limit >= least && limit <= 1)) {
    throw InvalidArgument(name + " is \"" + text + "\"",
                          least < 0 ? "a number from -1 to 1" : "a number from 0 to 1");
  }
  return limit;
}

}  // namespace

RouterOptions DatabaseRouter::options_from(
    const std::function<std::optional<std::string>(const std::string& name)>& environment) {
  RouterOptions options;
  if (const auto text = environment("DB_MIN_RELIABILITY"))
    options.min_reliability = limit_of("DB_MIN_RELIABILITY", *text, -1);
  if (const auto text = environment("DB_REDUNDANCY_LIMIT"))
    options.redundancy_limit = limit_of("DB_REDUNDANCY_LIMIT", *text, 0);
  return options;
}

DatabaseRouter::DatabaseRouter(std::shared_ptr<UniversalRetriever> retriever,
                               std::vector<std::shared_ptr<Store>> stores, RouterOptions options)
    : retriever_(std::move(retriever)), stores_(std::move(stores)), options_(std::move(options)) {
  if (options_.clock == nullptr) options_.clock = &system_clock();
}

std::vector<RouterHit> DatabaseRouter::semantic_search(std::string_view question,
                                                       std::size_t top_k) {
  std::vector<RouterHit> hits = universal_search(question, top_k);
  for (RouterHit& hit : hits) {
    if (is_information(hit.origin_db)) hit.origin_db = "info";
  }
  return hits;
}

std::vector<RouterHit> DatabaseRouter::universal_search(std::string_view question,
                                                        std::size_t top_k) {
  constexpr std::size_t kMostCached = 1000;
  const auto now = options_.clock->now();
  const std::pair<std::string, std::size_t> asked(question, top_k);
  if (const auto known = cache_.find(asked); known != cache_.end() && now < known->second.until)
    return known->second.hits;
  std::vector<RouterHit> hits;
  try {
    RetrieveOptions options;
    options.top_k = top_k;
    const RetrieverResult result = retriever_->retrieve(question, options);
    const auto is_fallback = [&](const ResultBundle& bundle) {
      return std::ranges::find(result.fallback_sources, bundle.origin_db) !=
             result.fallback_sources.end();
    };
    if (!result.fallback_sources.empty() && std::ranges::all_of(result.results, is_fallback))
      return hits;
    const auto reliability = retriever_->reliability_metrics();
    for (const ResultBundle& bundle : result.results) {
      const auto known = reliability.find(bundle.origin_db);
      const double score = known == reliability.end() ? 0 : known->second.score();
      if (options_.min_reliability > 0 && score < options_.min_reliability) continue;
      hits.push_back({bundle.origin_db, bundle.record_id, bundle.metadata, bundle.score,
                      bundle.reason, bundle.snippet});
    }
    if (options_.redundancy_limit < 1) drop_redundant(hits, options_.redundancy_limit);
    if (options_.cache_seconds.count() > 0) {
      if (cache_.size() >= kMostCached) cache_.clear();
      cache_[asked] = {now + options_.cache_seconds, hits};
    }
  } catch (const std::exception& error) {
    if (options_.on_failure) options_.on_failure(error.what());
    hits.clear();
  }
  return hits;
}

std::vector<RouterHit> DatabaseRouter::search_fts(std::string_view question,
                                                  const std::vector<std::string>& dbs,
                                                  std::size_t limit) {
  std::vector<RouterHit> hits;
  std::vector<Store*> stores;
  for (const auto& store : stores_) {
    const auto names_it = [&](const std::string& name) {
      return name == store->name() || name == store->origin();
    };
    if (dbs.empty() || std::ranges::any_of(dbs, names_it)) stores.push_back(store.get());
  }
  try {
    RetrievalOptions options;
    options.k = limit;
    options.mode = SearchMode::kKeyword;
    for (const RetrievalHit& hit : search_stores(stores, question, options).hits) {
      hits.push_back({is_information(hit.origin) ? "info" : hit.origin, hit.key.display(),
                      hit.fields, hit.score, hit.reason, hit.snippet});
    }
  } catch (const std::exception& error) {
    if (options_.on_failure) options_.on_failure(error.what());
    hits.clear();
  }
  return hits;
}

}  // namespace nearlite
