#include "similar_rows.h"

#include <algorithm>

#include "nearlite/retrieval/search_stores.h"
#include "nearlite/retrieval/snippet.h"
#include "record_lookup.h"

namespace nearlite::server {
namespace {

constexpr std::size_t kSnippetBytes = 200;

struct StoredRow {
  std::shared_ptr<Store> store;
  RecordKey key;
  std::vector<float> vector;
};

StoredRow stored_row(const Call& call, const std::string& name, const std::string& key) {
  StoredRow row;
  row.store = call.context.parts.stores.get(name);
  const auto found = find_record(*row.store, key);
  if (!found)
    throw ApiError(404, "unknown_record", "the store has no such record, or it is gone", "key");
  row.key = found->key;
  auto vector = row.store->get_vector(row.key);
  if (!vector)
    throw ApiError(409, "not_embedded", "the record is not embedded yet: a backfill does that",
                   "key");
  row.vector = std::move(*vector);
  return row;
}

}  // namespace

Json similar_rows(const Call& call, const std::string& name, const std::string& key,
                  std::size_t k) {
  const StoredRow row = stored_row(call, name, key);
  RetrievalOptions options;
  options.k = k;
  Json json = json_of(nearlite::similar_rows(*row.store, row.key, options));
  json.erase("query");
  json["store"] = name;
  json["key"] = json_of(row.key);
  return json;
}

Json explain_row(const Call& call, const std::string& name, const std::string& key,
                 const std::string& question) {
  const StoredRow row = stored_row(call, name, key);
  const std::vector<float> query = row.store->encode_text(question);
  RecordSearchOptions options;
  options.k = 1;
  options.recall = 1;
  options.filter = [&](const RecordKey& other) { return other == row.key; };
  const RecordSearchResult found = row.store->search_records(query, options);
  if (found.hits.empty()) throw ApiError(404, "unknown_record", "the record is gone", "key");
  const RecordHit& hit = found.hits.front();
  Json words = Json::array();
  for (const auto [begin, end] : matching_words(hit.passage_text, question)) {
    const std::string word = hit.passage_text.substr(begin, end - begin);
    if (std::ranges::find(words, Json(word)) == words.end()) words.push_back(word);
  }
  Json fields = Json::object();
  for (const std::string& column : row.store->shown_fields()) {
    if (const Value* value = hit.record.find(column)) fields[column] = json_of(*value);
  }
  return {{"query", question},
          {"store", name},
          {"key", json_of(hit.key)},
          {"score", hit.similarity},
          {"similarity", hit.similarity},
          {"stale", hit.stale},
          {"snippet", make_snippet(hit.passage_text, question, kSnippetBytes)},
          {"fields", fields},
          {"passage", hit.passage_text},
          {"matching_words", words},
          {"needs_refresh", row.store->needs_refresh(row.key, &hit.record)}};
}

}  // namespace nearlite::server
