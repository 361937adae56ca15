#include "nearlite/service/retriever.h"

#include "operation.h"

namespace nearlite::vector_service {

Retriever::Retriever(std::vector<std::shared_ptr<Store>> stores, const Clock& clock, LogSink& log)
    : stores_(std::move(stores)), clock_(clock), log_(log) {}

RetrievalResult Retriever::search(std::string_view question, const RetrievalOptions& options,
                                  const std::string& session_id) {
  Operation operation("Retriever.search", session_id, clock_, log_);
  std::vector<Store*> stores;
  for (const auto& store : stores_) stores.push_back(store.get());
  RetrievalResult result = search_stores(stores, question, options);
  operation.finished(result.hits.size());
  return result;
}

}  // namespace nearlite::vector_service
