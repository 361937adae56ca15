#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "nearlite/embeddable/freshness.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/embedding_backfill.h"

namespace nearlite {

// The JSON forms of results: the program's --json, HTTP and MCP print the same. Keys keep their
// order.

/// Who reads it. kAnybody: other programs, which learn no paths, no SQL and no notes of a run;
/// kOwner: whoever runs the program and may read the files anyway.
enum class Audience { kAnybody, kOwner };

/// One line, always valid JSON: bytes that are not UTF-8 (file names) become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json);

/// number, string or array; rows of a second source table "telemetry:7".
nlohmann::ordered_json json_of(const RecordKey& key);
/// null, number, string; a BLOB and a number that is not finite are null.
nlohmann::ordered_json json_of(const Value& value);
/// An object, in the given order.
nlohmann::ordered_json json_of_fields(std::span<const std::pair<std::string, Value>> fields);

/// {"type", "message", "hint"}; for kAnybody with a general message where it would tell too much.
nlohmann::ordered_json json_of(const StoreFailure& failure, Audience audience = Audience::kAnybody);
/// Whether a message holds a path or SQL.
bool tells_too_much(std::string_view message);

/// `explain`: with the parts of the score.
nlohmann::ordered_json json_of(const RetrievalHit& hit, bool explain = false);
/// `explain`: also each store's background similarity.
nlohmann::ordered_json json_of(const RetrievalResult& result, bool explain = false,
                               Audience audience = Audience::kAnybody);
/// Without the store's name.
nlohmann::ordered_json json_of(const Freshness& freshness);
nlohmann::ordered_json json_of(const vector_service::StoreBackfill& store,
                               Audience audience = Audience::kAnybody);

}  // namespace nearlite
