#include "confidence.h"

#include <cmath>

namespace nearlite {
namespace {

struct Map {
  double offset;
  double evidence;
  double background;
};
constexpr Map kHybridMap = {-2.892, 7.098, -4.878};
constexpr Map kVectorMap = {-3.011, 5.567, -5.548};

}  // namespace

std::optional<double> confidence_of(double evidence, std::optional<double> background,
                                    SearchMode mode) {
  if (!background || mode == SearchMode::kKeyword) return std::nullopt;
  const Map& map = mode == SearchMode::kVector ? kVectorMap : kHybridMap;
  const double odds = map.offset + map.evidence * evidence + map.background * *background;
  return 1 / (1 + std::exp(-odds));
}

}  // namespace nearlite
