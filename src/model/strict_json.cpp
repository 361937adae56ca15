#include "nearlite/model/strict_json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "nearlite/base/error.h"

namespace nearlite {

nlohmann::json parse_strict_json(std::string_view text, const std::string& what) {
  constexpr int kMaxDepth = 32;
  constexpr std::size_t kMaxEvents = 2'000'000;  // a value takes ten times its text in memory
  std::size_t num_events = 0;
  std::vector<std::set<std::string>> names;  // of the objects that are open
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > kMaxDepth) {
      throw CorruptData(what + " is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    if (++num_events > kMaxEvents) {
      throw CorruptData(what + " has more than " + std::to_string(kMaxEvents) +
                        " names and values");
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
