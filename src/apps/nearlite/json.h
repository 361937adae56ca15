#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "nearlite/embeddable/record.h"

namespace nearlite::cli {

/// Keys keep the order in which they were put in: what is printed reads as the documentation shows
/// it.
using Json = nlohmann::ordered_json;

/// One line. Bytes that are not UTF-8 (file names) become U+FFFD: the document is always valid
/// JSON.
std::string json_text(const Json& json);

/// number, string or array; rows of a second source table "telemetry:7".
Json json_of(const RecordKey& key);
/// null, number, string; a BLOB is null.
Json json_of(const Value& value);

}  // namespace nearlite::cli
