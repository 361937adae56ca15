#pragma once

#include <string>

#include "nearlite/databases/store.h"

namespace nearlite::cli {

/// The key that somebody typed: 4711, abc, '"abc"', '[1,"a"]', telemetry:7. Of several readings the
/// one that the store has a row for. Throws NotFound if it has none.
RecordKey existing_key(const Store& store, const std::string& typed);
/// The same without a look at the rows: every reading, the most likely first.
std::vector<RecordKey> key_readings(const std::string& typed);

}  // namespace nearlite::cli
