#include "nearlite/service/result_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace nearlite {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const auto& optional) { return optional ? Json(*optional) : Json(nullptr); }

Json explanation_of(const RetrievalHit& hit) {
  Json parts = Json::array();
  for (const SignalPart& part : hit.parts) {
    parts.push_back({{"signal", part.signal},
                     {"value", part.value},
                     {"weight", part.weight},
                     {"contribution", part.contribution}});
  }
  return {{"parts", parts}, {"found_by", hit.found_by}, {"exact", hit.exact}};
}

}  // namespace

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

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

bool tells_too_much(std::string_view message) {
  return message.find('/') != std::string_view::npos ||
         message.find(".sqlite") != std::string_view::npos ||
         message.find("SELECT ") != std::string_view::npos;
}

Json json_of(const StoreFailure& failure, Audience audience) {
  const auto shown = [&](const std::string& text, const char* otherwise) {
    return audience == Audience::kOwner || !tells_too_much(text) ? text : std::string(otherwise);
  };
  return {{"type", failure.type},
          {"message", shown(failure.message, "the store cannot be read now; the log says why")},
          {"hint", shown(failure.hint, "")}};
}

Json json_of(const RetrievalHit& hit, bool explain) {
  Json signals = Json::object();
  for (const auto& [name, value] : hit.signals) signals[name] = value;
  Json json = {{"rank", hit.rank},
               {"store", hit.store},
               {"key", json_of(hit.key)},
               {"score", hit.score},
               {"similarity", hit.similarity},
               {"confidence", or_null(hit.confidence)},
               {"stale", hit.stale},
               {"reason", hit.reason},
               {"signals", std::move(signals)},
               {"snippet", hit.snippet},
               {"fields", json_of_fields(hit.fields)}};
  if (!hit.folded.empty()) {
    Json& folded = json["folded"] = Json::array();
    for (const RecordKey& key : hit.folded) folded.push_back(json_of(key));
  }
  if (explain) json["explain"] = explanation_of(hit);
  return json;
}

Json json_of(const RetrievalResult& result, bool explain, Audience audience) {
  Json json = {{"query", result.question}, {"k", result.k}, {"complete", result.complete}};
  if (!result.complete) json["incomplete_reason"] = result.incomplete_reason;
  json["took_ms"] = result.took_ms;
  if (!result.confidence_note.empty()) json["confidence_note"] = result.confidence_note;
  if (!result.left_out.empty()) json["left_out"] = result.left_out;
  Json& stores = json["stores"] = Json::array();
  for (const StoreAnswer& store : result.stores) {
    stores.push_back({{"store", store.store},
                      {"records", store.records},
                      {"path", store.path},
                      {"recall", store.recall},
                      {"candidates", store.num_scored},
                      {"took_ms", store.took_ms}});
    if (explain && store.background) stores.back()["background"] = *store.background;
  }
  for (const StoreFailure& failure : result.failures)
    stores.push_back({{"store", failure.store}, {"error", json_of(failure, audience)}});
  Json& hits = json["hits"] = Json::array();
  for (const RetrievalHit& hit : result.hits) hits.push_back(json_of(hit, explain));
  return json;
}

Json json_of(const Freshness& f) {
  Json json = {{"rows", f.rows},
               {"fresh", f.fresh},
               {"stale_text", f.stale_text},
               {"stale_model", f.stale_model},
               {"missing", f.missing},
               {"blocked", f.blocked},
               {"erased", f.erased},
               {"empty", f.empty},
               {"skipped", f.skipped},
               {"orphan", f.orphan},
               {"consistent", f.consistent},
               {"oldest_lag_seconds", or_null(f.oldest_lag_seconds)},
               {"model", f.model},
               {"backend", f.backend},
               {"index_bytes", f.index_bytes},
               {"sidecar_bytes", f.sidecar_bytes},
               {"last_backfill", f.last_backfill.empty() ? Json(nullptr) : Json(f.last_backfill)}};
  if (!f.updated_column.empty()) json["updated"] = f.updated_column;
  return json;
}

Json json_of(const vector_service::StoreBackfill& store, Audience audience) {
  Json json = {{"store", store.store}, {"class", store.class_name}};
  if (store.failure) {
    json["error"] = json_of(*store.failure, audience);
    return json;
  }
  const BackfillResult& result = *store.result;
  json.update({{"embedded", result.embedded},
               {"skipped", result.skipped},
               {"failed", result.failed},
               {"removed", result.removed},
               {"unchanged", result.unchanged},
               {"blocked", result.blocked},
               {"tokens", result.tokens},
               {"truncated", result.truncated},
               {"passages", result.passages},
               {"longer", result.longer},
               {"wall_ms", result.wall_ms},
               {"encode_ms", result.encode_ms},
               {"store_ms", result.store_ms},
               {"skipped_by_reason", result.skipped_by_reason},
               {"stopped", result.stopped}});
  if (result.estimated_ms) {
    json["estimated_ms"] = *result.estimated_ms;
    json["estimated_bytes"] = result.estimated_bytes;
  }
  if (result.imported > 0) {
    json["imported"] = result.imported;
    json["imported_vectors"] = result.imported_vectors;
  }
  if (audience == Audience::kOwner && !result.notes.empty()) json["notes"] = result.notes;
  const auto list = [&](const char* name, const std::vector<SkippedRecord>& records) {
    Json& listed = json[name] = Json::array();
    for (const SkippedRecord& record : records)
      listed.push_back({{"key", json_of(record.key)}, {"reason", record.reason}});
  };
  list("skipped_records", result.skipped_records);
  list("blocked_records", result.blocked_records);
  return json;
}

}  // namespace nearlite
