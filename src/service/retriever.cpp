#include "nearlite/service/retriever.h"

#include "operation.h"

namespace nearlite::vector_service {

Retriever::Retriever(std::vector<std::shared_ptr<Store>> stores, const Clock& clock, LogSink& log,
                     MetricsSink& metrics)
    : stores_(std::move(stores)), clock_(clock), log_(log), metrics_(metrics) {}

RetrievalResult Retriever::search(std::string_view question, const RetrievalOptions& options,
                                  const std::string& session_id) const {
  return counted(session_id, [&](std::span<Store* const> stores) {
    return search_stores(stores, question, options);
  });
}

RetrievalResult Retriever::search_by_vector(std::span<const float> vector,
                                            const RetrievalOptions& options,
                                            const std::string& session_id) const {
  return counted(session_id, [&](std::span<Store* const> stores) {
    return nearlite::search_by_vector(stores, vector, options);
  });
}

RetrievalResult Retriever::counted(
    const std::string& session_id,
    const std::function<RetrievalResult(std::span<Store* const> stores)>& search) const {
  Operation operation("Retriever.search", session_id, clock_, log_, metrics_);
  std::vector<Store*> stores;
  for (const auto& store : stores_) stores.push_back(store.get());
  RetrievalResult result = search(stores);
  metrics_.observe("embedding_search_duration_seconds", {}, result.took_ms / 1000);
  metrics_.set("retrieval_query_time", {}, result.took_ms / 1000);
  metrics_.add("retrieval_hits_total", {}, static_cast<double>(result.hits.size()));
  if (!result.complete) metrics_.add("embedding_search_short_results_total", {});
  operation.finished(result.hits.size());
  return result;
}

}  // namespace nearlite::vector_service
