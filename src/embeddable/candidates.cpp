// Searching, first half: which records may answer, by vector and by words; then their rows.
#include "nearlite/embeddable/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <unordered_map>

#include "background.h"
#include "content.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "nearlite/index/id_set.h"
#include "search_parts.h"

namespace nearlite {
namespace {

/// More passages are asked for than records are wanted, since a record may have several.
std::size_t passages_for(std::size_t records) { return records + records / 2 + 8; }

/// Candidates by record, in the order in which they were found.
class Gathering {
 public:
  /// record: its place in the directory.
  Candidate& of(const std::shared_ptr<const SlotDirectory>& directory, std::size_t record,
                std::int64_t slot) {
    if (directory != directory_) number_by(directory);
    const auto [place, is_new] = place_of_.try_emplace(record, found_.size());
    if (is_new) {
      Candidate& candidate = found_.emplace_back();
      candidate.key = directory->key_of(record);
      candidate.slot = slot;
    }
    return found_[place->second];
  }
  std::vector<Candidate> take() { return std::move(found_); }
  std::vector<Candidate>& found() { return found_; }

 private:
  /// Another directory numbers the records otherwise, and may lack some.
  void number_by(const std::shared_ptr<const SlotDirectory>& directory) {
    directory_ = directory;
    place_of_.clear();
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (const auto record = directory->record_of(found_[i].slot)) place_of_.emplace(*record, i);
    }
  }

  std::vector<Candidate> found_;
  std::shared_ptr<const SlotDirectory> directory_;
  std::unordered_map<std::size_t, std::size_t> place_of_;  // by the number of the record there
};

/// What may be returned: nothing excluded, all that is required, only what the caller's filter lets
/// pass.
struct Restriction {
  std::shared_ptr<const IdSet> among;  // null: any
  std::vector<std::int64_t> excluded;  // ascending

  bool passes(std::int64_t slot) const {
    return (!among || among->contains(VectorId{slot})) &&
           !std::ranges::binary_search(excluded, slot);
  }
  bool is_none() const { return !among && excluded.empty(); }
};

Restriction restriction_of(VectorEngine& engine, const std::string& store,
                           const CandidateQuery& query) {
  Restriction restriction;
  std::vector<std::int64_t> required;
  if (!query.excluded.empty() || !query.required.empty()) {
    engine.read_at_once([&](Sidecar& sidecar) {
      restriction.excluded = sidecar.slots_of_records_with(query.excluded);
      required = sidecar.slots_of_records_with(query.required);
    });
  }
  std::optional<std::vector<VectorId>> allowed;                    // nothing: all
  const auto keep = [&](const std::vector<std::int64_t>& slots) {  // ascending
    if (allowed) {
      std::erase_if(*allowed, [&](VectorId id) {
        return !std::ranges::binary_search(slots, static_cast<std::int64_t>(id));
      });
      return;
    }
    allowed.emplace();
    for (const std::int64_t slot : slots) allowed->push_back(VectorId{slot});
  };
  if (query.filter) allowed = allowed_slots(engine, query.filter);
  if (!query.required.empty()) keep(required);
  if (!query.kinds.empty() || query.since) {
    std::vector<std::int64_t> alike;
    engine.read([&](Sidecar& sidecar) {
      alike = sidecar.slots_of_records_like(store, query.kinds, query.since);
    });
    keep(alike);
  }
  if (allowed) restriction.among = std::make_shared<const IdSet>(std::move(*allowed));
  return restriction;
}

/// True: there are no further ones.
bool add_nearest(VectorEngine& engine, const CandidateQuery& query, const Restriction& restriction,
                 CandidateResult& result, Gathering& gathering) {
  SearchParams params;
  params.k = passages_for(query.depth);
  params.recall = query.recall;
  params.index_only = query.index_only;
  params.among = restriction.among;
  if (!restriction.excluded.empty()) {
    params.filter = [&](VectorId id) { return restriction.passes(static_cast<std::int64_t>(id)); };
  }
  std::size_t looked_at = 0;
  for (;;) {
    const SearchResult found = engine.search(query.vector, params);
    result.path = found.path;
    result.recall = found.recall;
    result.num_scored += found.num_scored;
    std::vector<std::int64_t> slots;
    for (; looked_at < found.neighbors.size(); ++looked_at)
      slots.push_back(static_cast<std::int64_t>(found.neighbors[looked_at].id));
    const auto directory = engine.directory_of(slots);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const auto record = directory->record_of(slots[i]);
      if (!record) continue;  // removed since the snapshot was taken
      Candidate& candidate = gathering.of(directory, *record, slots[i]);
      if (candidate.similarity) continue;
      candidate.similarity = found.neighbors[found.neighbors.size() - slots.size() + i].similarity;
      candidate.nearest_slot = slots[i];
    }
    if (found.neighbors.size() < params.k) return true;
    if (gathering.found().size() >= query.depth) return false;
    params.k *= 4;
  }
}

/// True: there are no further ones.
bool add_matching(VectorEngine& engine, const std::string& store, const CandidateQuery& query,
                  const Restriction& restriction, CandidateResult& result, Gathering& gathering) {
  std::function<bool(std::int64_t)> filter;
  if (!restriction.is_none()) filter = [&](std::int64_t slot) { return restriction.passes(slot); };
  std::size_t limit = passages_for(query.depth);
  for (;;) {
    KeywordSearch found;
    engine.read_at_once([&](Sidecar& sidecar) {
      found = sidecar.search_keywords(store, query.words, limit, filter);
    });
    std::vector<std::int64_t> slots;
    for (const KeywordMatch& match : found.matches) slots.push_back(match.slot);
    const auto directory = engine.directory_of(slots);
    std::size_t records = 0;
    for (const KeywordMatch& match : found.matches) {
      const auto record = directory->record_of(match.slot);
      if (!record) continue;  // written after the question began
      Candidate& candidate = gathering.of(directory, *record, match.slot);
      if (candidate.keyword_rank != 0) continue;
      candidate.keyword = match.score;
      candidate.keyword_rank = ++records;
      // The passage that says the words is the one to show, unless the vector's stands higher.
      if (candidate.vector_rank == 0 || candidate.keyword_rank < candidate.vector_rank)
        candidate.slot = match.slot;
    }
    result.greatest_keyword = found.greatest;
    const bool all = found.matches.size() < limit;
    if (all || records >= query.depth) return all;
    limit *= 4;
    for (Candidate& candidate : gathering.found()) candidate.keyword_rank = 0;
  }
}

/// The cosine of what only words found: that of the best passage of each.
void compare_the_others(VectorEngine& engine, std::span<const float> vector,
                        std::vector<Candidate>& candidates) {
  std::vector<std::int64_t> shown;
  for (const Candidate& candidate : candidates) {
    if (!candidate.similarity) shown.push_back(candidate.slot);
  }
  if (shown.empty()) return;
  const auto directory = engine.directory_of(shown);
  std::vector<std::int64_t> slots;
  std::vector<std::size_t> owners;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].similarity) continue;
    const auto record = directory->record_of(candidates[i].slot);
    if (!record) continue;
    for (const std::int64_t slot : directory->slots_of(*record)) {
      slots.push_back(slot);
      owners.push_back(i);
    }
  }
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
  result.has_keywords = view.has_keywords;
  result.path = "none";
  if (!query.vector.empty()) result.incomplete_reason = mismatch_of(*this, view);
  const bool by_vector = !query.vector.empty() && result.incomplete_reason.empty();
  const Restriction restriction = restriction_of(vectors, store, query);
  Gathering gathering;
  bool all_near = true;
  if (by_vector) {
    all_near = add_nearest(vectors, query, restriction, result, gathering);
    std::size_t rank = 0;
    for (Candidate& candidate : gathering.found()) candidate.vector_rank = ++rank;
  }
  bool all_matching = true;
  if (!query.words.empty())
    all_matching = add_matching(vectors, store, query, restriction, result, gathering);
  result.candidates = gathering.take();
  // Every record that matches a word is also somewhere among the neighbors.
  result.exhausted = by_vector ? all_near : all_matching;
  if (by_vector) {
    compare_the_others(vectors, query.vector, result.candidates);
    if (view.background && view.snapshot)
      result.background = view.background->similarity(*view.snapshot, query.vector);
  }
  if (query.exact.empty()) return result;
  std::vector<std::int64_t> exact;
  vectors.read([&](Sidecar& sidecar) { exact = sidecar.slots_of_records_with(query.exact); });
  for (Candidate& candidate : result.candidates)
    candidate.exact = std::ranges::binary_search(exact, candidate.slot);
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
  std::vector<std::optional<SlotInfo>> infos;  // of the candidates that were looked at
  for (std::size_t i = 0; i < candidates.size() && read.size() < k; ++i) {
    const Candidate& candidate = candidates[i];
    if (i == infos.size()) {  // of as many as are missing at once
      engine().read_at_once([&](Sidecar& sidecar) {
        const std::size_t end = std::min(candidates.size(), i + k - read.size());
        while (infos.size() < end)
          infos.push_back(sidecar.find_slot(candidates[infos.size()].slot));
      });
      infos.resize(std::max(infos.size(), i + 1));  // no sidecar: nothing is known
    }
    const std::optional<SlotInfo>& info = infos[i];
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
    read.push_back({i, std::move(hit), info->kind, info->last_updated});
  }
  return read;
}

}  // namespace nearlite
