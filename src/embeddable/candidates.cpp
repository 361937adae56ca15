// Searching, first half: which records may answer, by vector and by words; then their rows.
#include "nearlite/embeddable/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "background.h"
#include "content.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "search_parts.h"

namespace nearlite {
namespace {

using SlotFilter = std::function<bool(std::int64_t slot)>;

/// More passages are asked for than records are wanted, since a record may have several.
std::size_t passages_for(std::size_t records) { return records + records / 2 + 8; }

/// Reads within one read transaction: without it every statement locks the file for itself.
void read_at_once(VectorEngine& engine, const std::function<void(Sidecar&)>& body) {
  engine.read([&](Sidecar& sidecar) {
    Connection& connection = sidecar.connection();
    connection.execute("BEGIN");
    try {
      body(sidecar);
      connection.execute("COMMIT");
    } catch (...) {
      connection.rollback_quietly();
      throw;
    }
  });
}

/// Candidates by record, in the order in which they were found.
class Gathering {
 public:
  Candidate& of(const SlotInfo& info) {
    const auto [place, is_new] = place_of_.try_emplace(info.record, found_.size());
    if (is_new) {
      Candidate& candidate = found_.emplace_back();
      candidate.key = key_of(info);
      candidate.slot = info.slot;
    }
    return found_[place->second];
  }
  std::vector<Candidate> take() { return std::move(found_); }
  std::vector<Candidate>& found() { return found_; }

 private:
  std::vector<Candidate> found_;
  std::map<std::int64_t, std::size_t> place_of_;  // by record id
};

/// What may be returned: nothing excluded, all that is required, only what the caller's filter lets
/// pass. Empty: all.
SlotFilter slot_filter(VectorEngine& engine, const std::string& store,
                       const CandidateQuery& query) {
  std::vector<std::int64_t> excluded;
  std::vector<std::int64_t> allowed;  // counts if there is a filter or a requirement
  read_at_once(engine, [&](Sidecar& sidecar) {
    excluded = sidecar.slots_of_records_with(query.excluded);
    allowed = sidecar.slots_of_records_with(query.required);
  });
  if (query.filter) {
    std::vector<std::int64_t> passing;
    for (const VectorId id : allowed_slots(engine, store, query.filter))
      passing.push_back(static_cast<std::int64_t>(id));
    if (query.required.empty()) {
      allowed = std::move(passing);
    } else {
      std::erase_if(allowed, [&](std::int64_t slot) {
        return !std::binary_search(passing.begin(), passing.end(), slot);
      });
    }
  }
  const bool restricted = query.filter || !query.required.empty();
  if (!restricted && excluded.empty()) return {};
  return [restricted, allowed = std::move(allowed),
          excluded = std::move(excluded)](std::int64_t slot) {
    return (!restricted || std::binary_search(allowed.begin(), allowed.end(), slot)) &&
           !std::binary_search(excluded.begin(), excluded.end(), slot);
  };
}

/// True: there are no further ones.
bool add_nearest(VectorEngine& engine, const CandidateQuery& query, const SlotFilter& filter,
                 CandidateResult& result, Gathering& gathering) {
  SearchParams params;
  params.k = passages_for(query.depth);
  params.recall = query.recall;
  params.index_only = query.index_only;
  if (filter) params.filter = [&](VectorId id) { return filter(static_cast<std::int64_t>(id)); };
  std::size_t looked_at = 0;
  for (;;) {
    const SearchResult found = engine.search(query.vector, params);
    result.path = found.path;
    result.recall = found.recall;
    read_at_once(engine, [&](Sidecar& sidecar) {
      for (; looked_at < found.neighbors.size(); ++looked_at) {
        const Neighbor& neighbor = found.neighbors[looked_at];
        const auto info = sidecar.find_slot(static_cast<std::int64_t>(neighbor.id));
        if (!info) continue;  // removed since the snapshot was taken
        Candidate& candidate = gathering.of(*info);
        if (candidate.similarity) continue;
        candidate.similarity = neighbor.similarity;
        candidate.nearest_slot = info->slot;
      }
    });
    if (found.neighbors.size() < params.k) return true;
    if (gathering.found().size() >= query.depth) return false;
    params.k *= 4;
  }
}

/// True: there are no further ones.
bool add_matching(VectorEngine& engine, const std::string& store, const CandidateQuery& query,
                  const SlotFilter& filter, CandidateResult& result, Gathering& gathering) {
  KeywordSearch found;
  std::size_t limit = passages_for(query.depth);
  std::size_t records = 0;
  for (;;) {
    records = 0;
    read_at_once(engine, [&](Sidecar& sidecar) {
      found = sidecar.search_keywords(store, query.words, limit, filter);
      for (const KeywordMatch& match : found.matches) {
        const auto info = sidecar.find_slot(match.slot);
        if (!info) continue;
        Candidate& candidate = gathering.of(*info);
        if (candidate.keyword_rank == 0) {
          candidate.keyword = match.score;
          candidate.keyword_rank = ++records;
          // The passage that says the words is the one to show, unless the vector's stands higher.
          if (candidate.vector_rank == 0 || candidate.keyword_rank < candidate.vector_rank)
            candidate.slot = match.slot;
        }
      }
    });
    result.greatest_keyword = found.greatest;
    const bool all = found.matches.size() < limit;
    if (all || records >= query.depth) return all;
    limit *= 4;
    for (Candidate& candidate : gathering.found()) candidate.keyword_rank = 0;
  }
}

/// The cosine of what only words found: that of the best passage of each.
void compare_the_others(VectorEngine& engine, const std::string& store,
                        std::span<const float> vector, std::vector<Candidate>& candidates) {
  std::vector<std::int64_t> slots;
  std::vector<std::size_t> owners;
  read_at_once(engine, [&](Sidecar& sidecar) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].similarity) continue;
      const SourceKey key{store, candidates[i].key.table, candidates[i].key.json};
      for (const std::int64_t slot : sidecar.slots_of(key)) {
        slots.push_back(slot);
        owners.push_back(i);
      }
    }
  });
  const auto similarities = engine.similarities(vector, slots);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    std::optional<float>& best = candidates[owners[i]].similarity;
    if (!similarities[i] || (best && *similarities[i] <= *best)) continue;
    best = similarities[i];
    candidates[owners[i]].nearest_slot = slots[i];
  }
}

/// To length 1. False if it has none.
bool normalize(std::vector<float>& vector) {
  double squares = 0;
  for (const float value : vector) squares += double{value} * double{value};
  if (squares <= 0) return false;
  const double factor = 1 / std::sqrt(squares);
  for (float& value : vector) value = static_cast<float>(value * factor);
  return true;
}

}  // namespace

CandidateResult EmbeddableDBMixin::find_candidates(const CandidateQuery& query) const {
  if (query.depth == 0) throw InvalidArgument("depth is 0, wanted at least 1");
  VectorEngine& vectors = engine();
  const std::string& store = options_.store_name;
  CandidateResult result;
  const EngineView view = vectors.view();
  result.records = view.records;
  vectors.read([&](Sidecar& sidecar) { result.has_keywords = sidecar.keywords_complete(store); });
  result.path = "none";
  if (!query.vector.empty()) result.incomplete_reason = mismatch_of(*this, view);
  const bool by_vector = !query.vector.empty() && result.incomplete_reason.empty();
  const SlotFilter filter = slot_filter(vectors, store, query);
  Gathering gathering;
  bool all_near = true;
  if (by_vector) {
    all_near = add_nearest(vectors, query, filter, result, gathering);
    std::size_t rank = 0;
    for (Candidate& candidate : gathering.found()) candidate.vector_rank = ++rank;
  }
  bool all_matching = true;
  if (!query.words.empty())
    all_matching = add_matching(vectors, store, query, filter, result, gathering);
  result.candidates = gathering.take();
  // Every record that matches a word is also somewhere among the neighbors.
  result.exhausted = by_vector ? all_near : all_matching;
  if (by_vector) {
    compare_the_others(vectors, store, query.vector, result.candidates);
    result.background = background_similarity(vectors, store, query.vector);
  }
  std::vector<std::int64_t> exact;
  vectors.read([&](Sidecar& sidecar) { exact = sidecar.slots_of_records_with(query.exact); });
  for (Candidate& candidate : result.candidates)
    candidate.exact = std::binary_search(exact.begin(), exact.end(), candidate.slot);
  return result;
}

void EmbeddableDBMixin::add_feedback(std::span<const float> query, std::size_t best,
                                     CandidateResult& result) const {
  std::vector<std::int64_t> slots;
  for (const Candidate& candidate : result.candidates) slots.push_back(candidate.nearest_slot);
  std::vector<float> mean(query.size());
  for (std::vector<float>& vector :
       engine().vectors(std::span(slots).first(std::min(best, slots.size())))) {
    if (vector.size() != mean.size() || !normalize(vector)) continue;
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += vector[i];
  }
  std::vector<float> question(query.begin(), query.end());
  if (!normalize(mean) || !normalize(question)) return;
  double cosine = 0;
  for (std::size_t i = 0; i < mean.size(); ++i) cosine += double{mean[i]} * double{question[i]};
  if (cosine <= -1) return;
  result.feedback_scale = 1 / std::sqrt(2 + 2 * cosine);
  const auto similarities = engine().similarities(mean, slots);
  for (std::size_t i = 0; i < slots.size(); ++i)
    result.candidates[i].feedback = similarities[i].value_or(0.0F);
}

std::vector<ReadCandidate> EmbeddableDBMixin::read_candidates(std::span<const Candidate> candidates,
                                                              std::size_t k) const {
  std::vector<ReadCandidate> read;
  RecordCursor rows = iter_records();
  for (std::size_t i = 0; i < candidates.size() && read.size() < k; ++i) {
    const Candidate& candidate = candidates[i];
    std::optional<SlotInfo> info;
    engine().read([&](Sidecar& sidecar) { info = sidecar.find_slot(candidate.slot); });
    auto row = rows.find(candidate.key);
    if (!row || !info) continue;  // gone: the next one takes its place
    const Content content = content_of(*this, row->record);
    RecordHit hit;
    hit.key = candidate.key;
    hit.similarity = candidate.similarity.value_or(std::numeric_limits<float>::quiet_NaN());
    hit.distance = distance_of(options_.backend, hit.similarity);
    hit.stale = content.hash != info->record_text_hash;
    hit.passage_text = passage_text_of(*this, row->record, content, *info, hit.stale);
    hit.record = std::move(row->record);
    read.push_back({i, std::move(hit)});
  }
  return read;
}

}  // namespace nearlite
