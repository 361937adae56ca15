#include "result_json.h"

#include <cmath>

#include "route.h"

namespace nearlite::server {
namespace {

Json or_null(const auto& optional) { return optional ? Json(*optional) : Json(nullptr); }

}  // namespace

Json json_of(const RecordKey& key) {
  if (!key.table.empty()) return key.display();
  return Json::parse(key.json, nullptr, false);
}

Json json_of(const Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  if (const auto* real = std::get_if<double>(&value))
    return std::isfinite(*real) ? Json(*real) : Json(nullptr);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return nullptr;
}

Json json_of_fields(std::span<const std::pair<std::string, Value>> fields) {
  Json json = Json::object();
  for (const auto& [name, value] : fields) json[name] = json_of(value);
  return json;
}

Json json_of(const RetrievalHit& hit) {
  Json signals = Json::object();
  for (const auto& [name, value] : hit.signals) signals[name] = value;
  return {{"rank", hit.rank},
          {"store", hit.store},
          {"key", json_of(hit.key)},
          {"score", hit.score},
          {"similarity", hit.similarity},
          {"confidence", or_null(hit.confidence)},
          {"stale", hit.stale},
          {"reason", hit.reason},
          {"signals", signals},
          {"snippet", hit.snippet},
          {"fields", json_of_fields(hit.fields)}};
}

Json json_of(const RetrievalResult& result) {
  Json json = {{"query", result.question}, {"k", result.k}, {"complete", result.complete}};
  if (!result.complete) json["incomplete_reason"] = result.incomplete_reason;
  json["took_ms"] = result.took_ms;
  if (!result.confidence_note.empty()) json["confidence_note"] = result.confidence_note;
  Json& stores = json["stores"] = Json::array();
  for (const StoreAnswer& store : result.stores) {
    stores.push_back({{"store", store.store},
                      {"records", store.records},
                      {"path", store.path},
                      {"recall", store.recall},
                      {"took_ms", store.took_ms}});
  }
  for (const StoreFailure& failure : result.failures)
    stores.push_back({{"store", failure.store}, {"error", public_failure(failure)}});
  Json& hits = json["hits"] = Json::array();
  for (const RetrievalHit& hit : result.hits) hits.push_back(json_of(hit));
  return json;
}

Json json_of(const Freshness& f) {
  return {{"rows", f.rows},
          {"fresh", f.fresh},
          {"stale_text", f.stale_text},
          {"stale_model", f.stale_model},
          {"missing", f.missing},
          {"blocked", f.blocked},
          {"erased", f.erased},
          {"empty", f.empty},
          {"skipped", f.skipped},
          {"orphan", f.orphan},
          {"oldest_lag_seconds", or_null(f.oldest_lag_seconds)},
          {"model", f.model},
          {"backend", f.backend},
          {"index_bytes", f.index_bytes},
          {"sidecar_bytes", f.sidecar_bytes},
          {"last_backfill", f.last_backfill.empty() ? Json(nullptr) : Json(f.last_backfill)}};
}

Json json_of(const vector_service::StoreBackfill& store) {
  Json json = {{"store", store.store}, {"class", store.class_name}};
  if (store.failure) {
    json["error"] = public_failure(*store.failure);
    return json;
  }
  const BackfillResult& result = *store.result;
  json.update({{"embedded", result.embedded},
               {"skipped", result.skipped},
               {"removed", result.removed},
               {"unchanged", result.unchanged},
               {"blocked", result.blocked},
               {"tokens", result.tokens},
               {"truncated", result.truncated},
               {"passages", result.passages},
               {"wall_ms", result.wall_ms},
               {"store_ms", result.store_ms},
               {"stopped", result.stopped}});
  Json& skipped = json["skipped_records"] = Json::array();
  for (const SkippedRecord& record : result.skipped_records)
    skipped.push_back({{"key", json_of(record.key)}, {"reason", record.reason}});
  return json;
}

}  // namespace nearlite::server
