#include "nearlite/model/strict_json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "nearlite/base/error.h"

namespace nearlite {

nlohmann::json parse_strict_json(std::string_view text, const std::string& what) {
  constexpr int kMaxDepth = 32;
  std::vector<std::set<std::string>> names;  // of the objects that are open
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > kMaxDepth) {
      throw CorruptData(what + " is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    if (event == Event::object_start) names.emplace_back();
    if (event == Event::object_end) names.pop_back();
    if (event == Event::key && !names.back().insert(value.get<std::string>()).second) {
      throw CorruptData(what + " has the name '" + value.get<std::string>() + "' twice");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, watch);
  } catch (const nlohmann::json::exception& error) {
    throw CorruptData(what + " is not valid JSON: " + error.what());
  }
}

}  // namespace nearlite
