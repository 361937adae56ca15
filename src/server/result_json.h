#pragma once

#include "json_body.h"
#include "nearlite/embeddable/freshness.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/embedding_backfill.h"

namespace nearlite::server {

// The forms of `nearlite ... --json`, which HTTP and MCP answer with too.

/// number, string or array; rows of a second source table "telemetry:7".
Json json_of(const RecordKey& key);
/// null, number, string; a BLOB is null.
Json json_of(const Value& value);
Json json_of(const RetrievalHit& hit);
/// Failures without their paths.
Json json_of(const RetrievalResult& result);
/// Without the store's name.
Json json_of(const Freshness& freshness);
Json json_of(const vector_service::StoreBackfill& store);
Json json_of_fields(std::span<const std::pair<std::string, Value>> fields);

}  // namespace nearlite::server
