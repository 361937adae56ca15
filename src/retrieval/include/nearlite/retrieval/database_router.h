#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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
  // Above 0: results of origins whose reliability is below are left out.
  double min_reliability = 0;
  // Share, 0 to 1, of an origin's results that may repeat a better result: whose passage says the
  // same but for case and blanks. 1: all may; 0: none.
  double redundancy_limit = 1;
  /// How long an answer is given again without asking. 0, not the 60 of the original: a row may
  /// have changed or gone since.
  std::chrono::seconds cache_seconds{0};
  const Clock* clock = nullptr;  // default: system_clock()
};

/// The one place that a program of the seed asks: the retriever's hits as plain entries. A failure
/// never reaches the caller. One thread at a time.
class DatabaseRouter {
 public:
  /// The limits that the original took from DB_MIN_RELIABILITY and DB_REDUNDANCY_LIMIT; nothing
  /// where a variable is not set. Throws InvalidArgument if one holds no such number.
  static RouterOptions options_from(
      const std::function<std::optional<std::string>(const std::string& name)>& environment);

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
  struct Cached {
    std::chrono::system_clock::time_point until;
    std::vector<RouterHit> hits;
  };
  std::map<std::pair<std::string, std::size_t>, Cached> cache_;  // by question and top_k
};

}  // namespace nearlite
