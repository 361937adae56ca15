#include "nearlite/model/strict_json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace nearlite {
namespace {

template <class Json>
Json parse_strict(std::string_view text, const std::string& what) {
  constexpr int kMaxDepth = 32;
  constexpr std::size_t kMaxEvents = 2'000'000;  // a value takes ten times its text in memory
  std::size_t num_events = 0;
  std::vector<std::set<std::string>> names;  // of the objects that are open
  const auto watch = [&](int depth, typename Json::parse_event_t event, Json& value) {
    using Event = typename Json::parse_event_t;
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= kMaxDepth) {
      throw JsonError(JsonError::Kind::kTooDeep,
                      what + " is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    if (++num_events > kMaxEvents) {
      throw JsonError(JsonError::Kind::kTooMany,
                      what + " has more than " + std::to_string(kMaxEvents) + " names and values");
    }
    if (event == Event::object_start) names.emplace_back();
    if (event == Event::object_end) names.pop_back();
    if (event == Event::key) {
      const auto& name = value.template get_ref<const std::string&>();
      if (!names.back().insert(name).second)
        throw JsonError(JsonError::Kind::kTwice, what + " has the name '" + name + "' twice", 0,
                        name);
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const typename Json::parse_error& error) {
    throw JsonError(JsonError::Kind::kSyntax, what + " is not valid JSON: " + error.what(),
                    error.byte);
  } catch (const typename Json::exception& error) {
    throw JsonError(JsonError::Kind::kNumber, what + " is not valid JSON: " + error.what());
  }
}

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, const std::string& what) {
  return parse_strict<nlohmann::json>(text, what);
}

nlohmann::ordered_json parse_strict_ordered_json(std::string_view text, const std::string& what) {
  return parse_strict<nlohmann::ordered_json>(text, what);
}

}  // namespace nearlite
