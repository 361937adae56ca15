#include "record_key.h"

#include "json.h"
#include "nearlite/base/error.h"

namespace nearlite::cli {
namespace {

/// The key as JSON, if the text is one.
std::vector<RecordKey> plain_readings(const std::string& typed) {
  std::vector<RecordKey> keys;
  const Json json = Json::parse(typed, nullptr, false);
  if (json.is_number() || json.is_string() || json.is_array() || json.is_object()) {
    RecordKey key;
    key.json = json_text(json);
    try {
      key.values();
      keys.push_back(std::move(key));
    } catch (const InvalidArgument&) {
      // JSON, but no key: it may be a text that looks like it
    }
  }
  keys.emplace_back(std::string_view(typed));
  return keys;
}

}  // namespace

std::vector<RecordKey> key_readings(const std::string& typed) {
  if (typed.empty()) throw InvalidArgument("the key is empty");
  std::vector<RecordKey> keys = plain_readings(typed);
  const std::size_t colon = typed.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == typed.size()) return keys;
  for (RecordKey& key : plain_readings(typed.substr(colon + 1))) {
    key.table = typed.substr(0, colon);
    keys.push_back(std::move(key));
  }
  return keys;
}

RecordKey existing_key(const Store& store, const std::string& typed) {
  for (const RecordKey& key : key_readings(typed)) {
    if (store.iter_records().find(key)) return key;
  }
  throw NotFound("the store " + store.name() + " has no record " + typed.substr(0, 80));
}

}  // namespace nearlite::cli
