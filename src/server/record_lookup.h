#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nearlite/databases/store.h"
#include "nearlite/service/metrics.h"

namespace nearlite::server {

/// What a key that somebody typed may mean, most likely first: 4711 is the number, else the text.
std::vector<RecordKey> keys_named(const std::string& text);

struct FoundRecord {
  RecordKey key;
  Record fields;  // exposed columns only
};
/// The record as it is now, or nothing. Throws ApiError 400 for what cannot be a key.
std::optional<FoundRecord> find_record(const Store& store, const std::string& key_text);

void report_freshness(MetricsSink& metrics, const std::string& store, const Freshness& freshness);

}  // namespace nearlite::server
