#include "nearlite/index/calibration.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"

namespace nearlite {

std::optional<Effort> Calibration::cheapest_for(double recall) const {
  std::optional<Effort> best;
  for (const Effort& effort : efforts) {
    if (effort.recall_low < recall) continue;
    if (!best || effort.microseconds < best->microseconds) best = effort;
  }
  return best;
}

/// Written piece by piece: an object of the JSON library needs memory to be destroyed.
std::string Calibration::to_json() const {
  const auto number = [](double value) { return nlohmann::json(value).dump(); };
  std::string list;
  for (const Effort& effort : efforts) {
    if (!list.empty()) list += ',';
    list += "{\"microseconds\":" + number(effort.microseconds) +
            ",\"recall\":" + number(effort.recall) +
            ",\"recall_low\":" + number(effort.recall_low) +
            ",\"search_k\":" + std::to_string(effort.search_k) + '}';
  }
  return "{\"efforts\":[" + list + "],\"version\":1}";
}

Calibration Calibration::from_json(std::string_view text) {
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    if (json.at("version").get<int>() != 1) throw CorruptData("calibration of an unknown version");
    Calibration calibration;
    for (const nlohmann::json& item : json.at("efforts")) {
      const Effort effort{.search_k = item.at("search_k").get<std::size_t>(),
                          .recall = item.at("recall").get<double>(),
                          .recall_low = item.at("recall_low").get<double>(),
                          .microseconds = item.at("microseconds").get<double>()};
      if (!(effort.recall_low >= 0 && effort.recall_low <= 1 && effort.microseconds >= 0)) {
        throw CorruptData("calibration holds a recall or time that cannot be");
      }
      calibration.efforts.push_back(effort);
    }
    return calibration;
  } catch (const nlohmann::json::exception& error) {
    throw CorruptData(std::string("calibration is not what was written: ") + error.what());
  }
}

}  // namespace nearlite
