#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/retrieval/universal_retriever.h"

namespace nearlite {

struct RouterHit {
  std::string origin_db{};  // semantic_search: bot, workflow, error, enhancement, info
  std::string record_id{};
  std::vector<std::pair<std::string, Value>> metadata{};
  double score = 0;
  std::string reason{};
  std::string snippet{};
};

struct RouterOptions {
  /// Told of a failure, which gives an empty list to the caller.
  std::function<void(const std::string& message)> on_failure{};
};

/// The one place that a program of the seed asks: the retriever's hits as plain entries. A failure
/// never reaches the caller. One thread at a time.
class DatabaseRouter {
 public:
  /// `stores`: what search_fts looks through; usually those of the retriever.
  DatabaseRouter(std::shared_ptr<UniversalRetriever> retriever,
                 std::vector<std::shared_ptr<Store>> stores, RouterOptions options = {});

  /// By meaning and words, at most top_k; `information` is called `info`. A result that came from
  /// fallback sources only gives nothing.
  std::vector<RouterHit> semantic_search(std::string_view question, std::size_t top_k = 10);
  /// The same with the retriever's own labels.
  std::vector<RouterHit> universal_search(std::string_view question, std::size_t top_k = 10);
  /// By words alone, without a model; `dbs`: names or origins, empty: all.
  std::vector<RouterHit> search_fts(std::string_view question,
                                    const std::vector<std::string>& dbs = {},
                                    std::size_t limit = 5);

 private:
  std::shared_ptr<UniversalRetriever> retriever_;
  std::vector<std::shared_ptr<Store>> stores_;
  RouterOptions options_;
};

}  // namespace nearlite
