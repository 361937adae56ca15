#include "joined_scans.h"

#include <vector>

#include "nearlite/base/cpu.h"

namespace nearlite {

// Callers have other work before and after: fewer scans of more questions are less work.
JoinedScans::JoinedScans() : calls_(half_the_cpus()) {}

SearchResult JoinedScans::search(const IndexSnapshot& snapshot, std::span<const float> query,
                                 const SearchParams& params) {
  // Filters are their callers' own. Where an index answers, nothing is shared.
  if (params.filter || params.among || !snapshot.is_scanned(params))
    return snapshot.search(query, params);
  Call mine{.snapshot = snapshot, .query = query, .params = params};
  calls_.run(mine, joins, together,
             [](Call& call) { call.result = call.snapshot.search(call.query, call.params); });
  return std::move(mine.result);
}

bool JoinedScans::joins(const Calls::Batch& batch, const Call& call) {
  constexpr std::size_t kMost = 16;  // in one scan, so that nobody waits long for others
  const Call& first = batch.front();
  return batch.size() < kMost && &call.snapshot == &first.snapshot &&
         call.params.k == first.params.k && call.params.recall == first.params.recall &&
         call.params.index_only == first.params.index_only;
}

void JoinedScans::together(const Calls::Batch& batch) {
  std::vector<float> queries;
  for (const Call& call : batch)
    queries.insert(queries.end(), call.query.begin(), call.query.end());
  const Call& first = batch.front();
  std::vector<SearchResult> results = first.snapshot.search_batch(queries, first.params);
  auto next = results.begin();
  for (Call& call : batch) call.result = std::move(*next++);
}

}  // namespace nearlite
