#include "nearlite/service/embedding_freshness.h"

#include <algorithm>

namespace nearlite::vector_service {
namespace {

std::string told(const std::map<std::string, std::string>& stale) {
  std::string text;
  for (const auto& [store, reason] : stale)
    text += (text.empty() ? "" : "; ") + store + ": " + reason;
  return text;
}

}  // namespace

StaleEmbeddingsError::StaleEmbeddingsError(std::map<std::string, std::string> stale)
    : Unavailable("embeddings are behind their records: " + told(stale),
                  "nearlite status and nearlite check say more"),
      stale_(std::move(stale)) {}

std::optional<std::string> EmbeddingFreshness::reason_of(const StoreSource& source) {
  try {
    const Freshness now = source.open(std::nullopt)->freshness();
    const std::size_t embedded = now.fresh + now.stale_text + now.stale_model;
    const std::size_t wanted = embedded + now.missing;
    if (now.last_backfill.empty() && now.missing > 0) return "embedding metadata missing";
    if (now.missing > 0 || now.orphan > 0) {
      return "record/vector count mismatch " + std::to_string(wanted) + "/" +
             std::to_string(embedded + now.orphan);
    }
    if (now.stale_text + now.stale_model > 0) return "record requires refresh";
    return std::nullopt;
  } catch (const std::exception&) {
    return "import failed: " + failure_in_flight(source.name).message;
  }
}

std::map<std::string, std::string> EmbeddingFreshness::stale(std::span<const StoreSource> stores) {
  std::map<std::string, std::string> reasons;
  for (const StoreSource& store : stores) {
    if (auto reason = reason_of(store)) reasons.emplace(store.name, std::move(*reason));
  }
  return reasons;
}

std::vector<StoreBackfill> EmbeddingFreshness::refresh(std::span<const StoreSource> stores,
                                                       BackfillRequest request,
                                                       const char* trigger) {
  const auto reasons = stale(stores);
  std::vector<StoreSource> behind;
  for (const StoreSource& store : stores) {
    const auto reason = reasons.find(store.name);
    if (reason == reasons.end()) continue;
    behind.push_back(store);
    log_.write(
        {LogLevel::kInfo,
         "store is behind its records",
         {{"session_id", request.session_id}, {"store", store.name}, {"reason", reason->second}}});
  }
  if (behind.empty()) return {};
  request.trigger = trigger;
  return backfill_.run(behind, request);
}

std::vector<std::string> EmbeddingFreshness::check_out_of_sync(std::span<const StoreSource> stores,
                                                               BackfillRequest request) {
  std::vector<std::string> classes;
  for (const StoreBackfill& done : refresh(stores, std::move(request), "auto"))
    classes.push_back(done.class_name);
  return classes;
}

std::vector<std::string> EmbeddingFreshness::check_staleness(std::span<const StoreSource> stores,
                                                             std::size_t most,
                                                             BackfillRequest request) {
  std::vector<StoreSource> behind;
  for (const StoreSource& store : stores) {
    try {
      const Freshness now = store.open(std::nullopt)->freshness();
      if (now.stale_text + now.stale_model > most) behind.push_back(store);
    } catch (const std::exception&) {
      behind.push_back(store);  // the run says what is wrong with it
    }
  }
  std::vector<std::string> classes;
  if (behind.empty()) return classes;
  request.trigger = "stale";
  for (const StoreBackfill& done : backfill_.run(behind, request))
    classes.push_back(done.class_name);
  return classes;
}

std::vector<StoreBackfill> EmbeddingFreshness::rebuild_all(std::span<const StoreSource> stores,
                                                           bool force, BackfillRequest request) {
  if (force) {
    for (const StoreSource& source : stores) {
      try {
        source.open(request.backend)->check(true, CheckDepth::kFull);
      } catch (const std::exception& error) {  // the run below names the store
        log_.write({LogLevel::kError,
                    "store cannot be checked",
                    {{"session_id", request.session_id},
                     {"store", source.name},
                     {"exception.message", error.what()}}});
      }
    }
  }
  request.options.full = true;
  return backfill_.run(stores, request);
}

void EmbeddingFreshness::ensure_embeddings_fresh(std::span<const StoreSource> stores,
                                                 std::size_t retries, BackfillRequest request) {
  for (std::size_t i = 0; i < retries; ++i) {
    if (refresh(stores, request, "stale").empty()) return;
  }
  if (auto left = stale(stores); !left.empty()) throw StaleEmbeddingsError(std::move(left));
}

std::size_t EmbeddingFreshness::watch(const std::function<std::vector<StoreSource>()>& stores,
                                      std::chrono::milliseconds interval,
                                      const MonotonicClock& clock, const std::stop_token& stop,
                                      BackfillRequest request) {
  std::size_t embedded = 0;
  request.options.stop = stop;
  while (!stop.stop_requested()) {
    try {
      const std::vector<StoreSource> known = stores();
      for (const StoreBackfill& done : refresh(known, request, "event")) {
        if (done.result) embedded += done.result->embedded;
        metrics_.add(
            done.result ? "embedding_watcher_processed_total" : "embedding_watcher_failed_total",
            {{"watcher", "db"}});
      }
    } catch (const std::exception& error) {  // the list of stores cannot be had just now
      metrics_.add("embedding_watcher_errors_total", {{"watcher", "db"}});
      log_.write({LogLevel::kError, "watcher failed", {{"exception.message", error.what()}}});
    }
    if (!clock.wait_until(clock.now() + interval, stop)) break;
  }
  return embedded;
}

}  // namespace nearlite::vector_service
