#include "store_reply.h"

#include <algorithm>

#include "fusion.h"
#include "nearlite/base/clock.h"
#include "nearlite/embeddable/candidates.h"
#include "nearlite/retrieval/snippet.h"

namespace nearlite {
namespace {

using Fields = std::vector<std::pair<std::string, Value>>;

/// What a hit shows: the store's own columns from the row that was read, further ones by another
/// look at the row. Throws NotFound for a column that the store does not have.
Fields shown_values(const Store& store, const RecordHit& hit, std::span<const std::string> shown,
                    std::span<const std::string> wanted) {
  Fields values;
  const auto has = [&](const std::string& column) {
    return std::ranges::any_of(values, [&](const auto& value) { return value.first == column; });
  };
  for (const std::string& column : shown) {
    if (const Value* value = hit.record.find(column); value != nullptr && !has(column))
      values.emplace_back(column, *value);
  }
  std::vector<std::string> further;
  std::ranges::copy_if(wanted, std::back_inserter(further),
                       [&](const std::string& column) { return !has(column); });
  if (further.empty()) return values;
  const Record row = store.read_fields(hit.key, further);
  for (const auto& field : row.fields()) values.push_back(field);
  return values;
}

/// At least this many records are taken from each list, so that one that is good in both is seen.
constexpr std::size_t kDepth = 100;
/// At least this many are judged together (levels_of), however few are asked for.
constexpr std::size_t kPlaces = 10;
/// Candidates that the others are compared with.
constexpr std::size_t kBest = 3;

/// Both have to hold; an empty function always does.
std::function<bool(const RecordKey&)> both(std::function<bool(const RecordKey&)> a,
                                           std::function<bool(const RecordKey&)> b) {
  if (!a) return b;
  if (!b) return a;
  return [a = std::move(a), b = std::move(b)](const RecordKey& key) { return a(key) && b(key); };
}

CandidateQuery candidate_query(const Store& store, const Question& question,
                               std::span<const float> vector, const RetrievalOptions& options,
                               const std::optional<RecordKey>& left_out) {
  CandidateQuery query;
  query.vector = vector;
  if (options.mode != SearchMode::kVector) {
    query.words = question.words;
    query.exact = question.exact;
  }
  // A phrase that was put in quotes has to be there, where words are all that is searched.
  if (options.mode == SearchMode::kKeyword) query.required = question.phrases;
  query.excluded = question.excluded;
  query.depth = options.k + options.k / 2;
  if (options.mode != SearchMode::kVector) query.depth = std::max(kDepth, query.depth);
  query.recall = options.recall;
  query.filter =
      both(keys_passing(store, options.where, options.filters), keys_in_scope(store, options.rows));
  query.kinds = options.rows.kinds;
  if (options.rows.max_age) {
    const Clock& clock = store.options().clock != nullptr ? *store.options().clock : system_clock();
    // In seconds: an age of many years does not fit the clock's own unit.
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(clock.now().time_since_epoch());
    query.since = (now - *options.rows.max_age).count();
  }
  if (left_out) {
    query.filter = [passes = std::move(query.filter), left_out](const RecordKey& key) {
      return key != *left_out && (!passes || passes(key));
    };
  }
  return query;
}

/// What speaks for the hit; the contributions add up to the score of the evidence.
std::vector<SignalPart> parts_of(const Evidence& evidence, const EvidenceWeights& weights) {
  std::vector<SignalPart> parts;
  const auto add = [&](const char* signal, double value, double weight) {
    if (weight > 0) parts.push_back({signal, value, weight, value * weight});
  };
  add("similarity", evidence.similarity, weights.similarity);
  add("feedback", evidence.feedback, weights.feedback);
  add("keyword", evidence.keyword, weights.keyword);
  return parts;
}

/// Says what governance says of the hit, and redacts what it shows.
void govern(const Store& store, const ReadCandidate& read, const RowSelection& rows,
            RetrievalHit& hit) {
  std::string text = store.text(read.hit.record);
  if (text.empty()) text = read.hit.passage_text;
  hit.governance = govern_hit(*store.options().gate, hit, text, rows.max_alert_severity);
}

bool is_forbidden(const RetrievalHit& hit) { return hit.governance && hit.governance->forbidden; }

RetrievalHit hit_of(const Store& store, const Question& question, const ReadCandidate& read,
                    const CandidateResult& found, const RetrievalOptions& options) {
  const Candidate& candidate = found.candidates[read.index];
  const Evidence evidence = evidence_of(candidate, found, options.mode);
  RetrievalHit hit;
  hit.store = store.name();
  hit.origin = store.origin();
  hit.key = read.hit.key;
  hit.exact = candidate.exact;
  hit.score = evidence.score;
  hit.similarity = static_cast<double>(read.hit.similarity);
  hit.distance = static_cast<double>(read.hit.distance);
  hit.stale = read.hit.stale;
  hit.reason = reason_of(candidate, evidence, options.mode);
  if (candidate.similarity) hit.signals["similarity"] = evidence.similarity;
  if (options.mode != SearchMode::kVector) hit.signals["keyword"] = candidate.keyword;
  hit.parts = parts_of(evidence, weights_of(found, options.mode));
  if (candidate.vector_rank > 0) hit.found_by.push_back(found.path);
  if (candidate.keyword_rank > 0) hit.found_by.emplace_back("keyword");
  hit.snippet = make_snippet(read.hit.passage_text, question.text, options.snippet_bytes);
  hit.fields = shown_values(store, read.hit, store.shown_fields(), options.fields);
  hit.kind = read.kind;
  hit.last_updated = read.last_updated;
  if (options.rows.governed) govern(store, read, options.rows, hit);
  return hit;
}

}  // namespace

StoreReply ask_store(const Store& store, const Question& question, std::span<const float> vector,
                     const RetrievalOptions& options, const std::optional<RecordKey>& left_out) {
  const Stopwatch stopwatch;
  StoreReply reply;
  CandidateQuery query = candidate_query(store, question, vector, options, left_out);
  CandidateResult found;
  std::vector<ReadCandidate> read;
  std::vector<RetrievalHit> hits;  // of `read`, also what governance forbids
  std::size_t wanted = options.k;  // to be read
  std::size_t num_forbidden = 0;
  for (;;) {
    found = store.find_candidates(query);
    order_candidates(found, options.mode);
    // Of a store of few rows the best are mostly strangers to the question.
    if (options.mode == SearchMode::kHybrid && found.background) {
      store.add_feedback(vector, kBest, found);
      order_candidates(found, options.mode);
    }
    read = store.read_candidates(found.candidates, wanted);
    hits.clear();
    for (const ReadCandidate& one : read)
      hits.push_back(hit_of(store, question, one, found, options));
    num_forbidden = static_cast<std::size_t>(std::ranges::count_if(hits, &is_forbidden));
    if (read.size() == wanted) {
      if (hits.size() - num_forbidden >= options.k) break;
      wanted = options.k + num_forbidden;
    } else {
      if (found.exhausted) break;
      query.depth *= 4;
    }
  }
  reply.num_forbidden = num_forbidden;
  reply.exhausted = found.exhausted && read.size() < wanted;
  reply.answer = {.store = store.name(),
                  .records = found.records,
                  .path = options.mode == SearchMode::kKeyword ? "keyword" : found.path,
                  .recall = found.recall,
                  .num_scored = found.num_scored,
                  .took_ms = 0,
                  .background = found.background};
  reply.model = store.options().model_name;
  reply.incomplete_reason = found.incomplete_reason;
  if (options.mode == SearchMode::kKeyword && !found.has_keywords && found.records > 0)
    reply.incomplete_reason = "its texts are not searched by word before the next backfill";
  const std::size_t num_places =
      read.empty() ? 0
                   : std::max(read.back().index + 1, std::min(kPlaces, found.candidates.size()));
  for (const Candidate& candidate : std::span(found.candidates).first(num_places)) {
    reply.places.push_back(
        {candidate.similarity ? std::optional<double>(*candidate.similarity) : std::nullopt});
  }
  for (std::size_t i = 0; i < hits.size(); ++i) {
    if (is_forbidden(hits[i])) continue;
    reply.place_of_hit.push_back(read[i].index);
    if (options.distinct)
      reply.vectors.push_back(store.get_vector(hits[i].key).value_or(std::vector<float>{}));
    reply.hits.push_back(std::move(hits[i]));
  }
  reply.answer.took_ms = stopwatch.elapsed_ms();
  return reply;
}

}  // namespace nearlite
