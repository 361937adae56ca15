#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/governed_hit.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::vector_service {

/// A row that passed governance. Secrets and personal data in it are replaced.
struct RetrievedItem {
  std::string origin_db{};
  std::string record_id{};
  double score = 0;  // of the search, less what governance and tags take off; never below 0
  std::string reason{};
  std::vector<std::pair<std::string, Value>> metadata{};
  std::string text{};
  HitGovernance flags{};
  double risk_score = 0;  // the row's own (a column of that name), or its likeness to failures
  std::string roi_tag{};  // the row's own; empty: none
};

/// Items, best first; when there were none good enough, those that hold the words.
struct Retrieved {
  std::vector<RetrievedItem> items{};
  double confidence = 0;          // the highest score of the search
  std::string fallback_reason{};  // "no results", "low confidence"; empty: no fallback
  std::vector<StoreFailure> failures{};
  bool is_fallback() const { return !fallback_reason.empty(); }
};

/// Remembers answers for a while; a question with any other option is another question. For any
/// number of threads.
class RetrievalCache {
 public:
  explicit RetrievalCache(std::chrono::seconds keep = std::chrono::hours(1), std::size_t most = 256,
                          const Clock& clock = system_clock())
      : keep_(keep), most_(most), clock_(clock) {}
  std::optional<Retrieved> find(const std::string& key);
  void put(const std::string& key, const Retrieved& answer);

 private:
  struct Kept {
    std::chrono::system_clock::time_point at;
    Retrieved answer;
  };
  std::chrono::seconds keep_;
  std::size_t most_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;
};

}  // namespace nearlite::vector_service
