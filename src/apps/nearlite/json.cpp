#include "json.h"

#include <cmath>

namespace nearlite::cli {

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

}  // namespace nearlite::cli
