#pragma once

#include <span>

#include "nearlite/base/joined_calls.h"
#include "nearlite/index/snapshot.h"

namespace nearlite {

/// Searches in which callers that meet share a scan, which reads the codes once for all of them.
/// For any number of threads.
class JoinedScans {
 public:
  JoinedScans();
  /// snapshot.search(query, params): the same answer by the same path, and the same errors.
  SearchResult search(const IndexSnapshot& snapshot, std::span<const float> query,
                      const SearchParams& params);

 private:
  struct Call {
    const IndexSnapshot& snapshot;
    std::span<const float> query;
    const SearchParams& params;
    SearchResult result{};
  };
  using Calls = JoinedCalls<Call>;
  static bool joins(const Calls::Batch& batch, const Call& call);
  static void together(const Calls::Batch& batch);

  Calls calls_;
};

}  // namespace nearlite
