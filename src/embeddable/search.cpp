// Searching: from vectors found to records shown. Every record hit is true: its row is read again
// first.
#include <algorithm>
#include <set>

#include "content.h"
#include "embedder.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "nearlite/index/id_set.h"
#include "search_parts.h"

namespace nearlite {
namespace {

/// Best first; equal similarity: by key.
template <typename SomeHit>
bool is_better(const SomeHit& a, const SomeHit& b) {
  if (a.similarity != b.similarity) return a.similarity > b.similarity;
  return is_before(a.key, b.key);
}

template <typename SomeHit>
std::vector<RecordKey> keys_of(const std::vector<SomeHit>& hits) {
  std::vector<RecordKey> keys;
  for (const SomeHit& hit : hits) keys.push_back(hit.key);
  return keys;
}

struct BestPassage {
  RecordKey key;
  float similarity = 0;
  std::int64_t slot = 0;
};

/// The records behind the neighbors, each with its best passage, in the order found.
std::vector<BestPassage> records_of(VectorEngine& engine, const std::vector<Neighbor>& neighbors) {
  std::vector<std::int64_t> slots;
  for (const Neighbor& neighbor : neighbors)
    slots.push_back(static_cast<std::int64_t>(neighbor.id));
  const auto directory = engine.directory_of(slots);
  std::vector<BestPassage> records;
  std::set<RecordKey> known;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto record = directory->record_of(slots[i]);
    if (!record) continue;  // removed since the snapshot was taken
    RecordKey key = directory->key_of(*record);
    if (known.insert(key).second)
      records.push_back({std::move(key), neighbors[i].similarity, slots[i]});
  }
  std::stable_sort(records.begin(), records.end(), is_better<BestPassage>);
  return records;
}

/// Asks for ever more neighbors until `enough` says so or all were seen.
class Widening {
 public:
  Widening(VectorEngine& engine, std::span<const float> query, SearchParams params, std::size_t k)
      : engine_(engine), query_(query), params_(std::move(params)) {
    params_.k = 2 * k + 8;  // some records have several passages near the query, some rows are gone
  }
  SearchResult next() {
    SearchResult found = engine_.search(query_, params_);
    exhausted_ = found.neighbors.size() < params_.k;
    params_.k *= 4;
    return found;
  }
  bool exhausted() const { return exhausted_; }

 private:
  VectorEngine& engine_;
  std::span<const float> query_;
  SearchParams params_;
  bool exhausted_ = false;
};

}  // namespace

std::vector<Hit> EmbeddableDBMixin::search_by_vector(std::span<const float> vector,
                                                     std::size_t top_k) const {
  if (top_k == 0) throw InvalidArgument("top_k is 0, wanted at least 1");
  if (!mismatch_of(*this, engine().view()).empty()) return {};
  Widening widening(engine(), vector, {}, top_k);
  std::vector<BestPassage> records;
  do {
    records = records_of(engine(), widening.next().neighbors);
  } while (records.size() < top_k && !widening.exhausted());
  if (records.size() > top_k) records.resize(top_k);
  std::vector<Hit> hits;
  for (BestPassage& record : records) {
    hits.push_back({std::move(record.key), record.similarity,
                    distance_of(options_.backend, record.similarity)});
  }
  if (options_.ages) tell_ages(keys_of(hits));
  return hits;
}

std::vector<Hit> EmbeddableDBMixin::search(std::string_view question, std::size_t top_k) const {
  return search_by_vector(encode_text(question), top_k);
}

RecordSearchResult EmbeddableDBMixin::search_records(std::span<const float> query,
                                                     const RecordSearchOptions& options) const {
  if (options.k == 0) throw InvalidArgument("k is 0, wanted at least 1");
  const Stopwatch watch;
  RecordSearchResult result;
  const EngineView view = engine().view();
  result.records = view.records;
  if (std::string mismatch = mismatch_of(*this, view); !mismatch.empty()) {
    result.complete = false;
    result.incomplete_reason = std::move(mismatch);
    result.took_ms = watch.elapsed_ms();
    return result;
  }
  SearchParams params;
  params.recall = options.recall;
  params.index_only = options.index_only;
  if (options.filter) {
    params.among = std::make_shared<const IdSet>(allowed_slots(engine(), options.filter));
  }
  Widening widening(engine(), query, std::move(params), options.k);
  RecordCursor rows = iter_records();
  std::set<RecordKey> looked_at;
  while (result.hits.size() < options.k) {
    const SearchResult found = widening.next();
    result.path = found.path;
    result.recall = found.recall;
    result.num_scored += found.num_scored;
    for (BestPassage& best : records_of(engine(), found.neighbors)) {
      if (result.hits.size() == options.k) break;
      if (!looked_at.insert(best.key).second) continue;
      auto row = rows.find(best.key);
      std::optional<SlotInfo> info;
      engine().read([&](Sidecar& sidecar) { info = sidecar.find_slot(best.slot); });
      if (!row || !info) continue;  // gone: the next one takes its place
      const Content content = content_of(*this, row->record);
      RecordHit hit;
      hit.key = std::move(best.key);
      hit.similarity = best.similarity;
      hit.distance = distance_of(options_.backend, best.similarity);
      hit.stale = content.hash != info->record_text_hash;
      hit.passage_text = passage_text_of(*this, row->record, content, *info, hit.stale);
      hit.record = std::move(row->record);
      result.hits.push_back(std::move(hit));
    }
    if (widening.exhausted()) break;
  }
  std::stable_sort(result.hits.begin(), result.hits.end(), is_better<RecordHit>);
  if (options_.ages) tell_ages(keys_of(result.hits));
  result.took_ms = watch.elapsed_ms();
  return result;
}

}  // namespace nearlite
