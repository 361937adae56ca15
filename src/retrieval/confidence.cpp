#include "confidence.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace nearlite {
namespace {

constexpr double kOffset = -3.48;
constexpr double kLevel = 6.06;
constexpr double kBackground = -4.43;

constexpr std::size_t kPlaces = 10;
constexpr double kStep = 1e-6;  // no two places are equal: the order of the list is kept

}  // namespace

double confidence_of(double level, double background) {
  return 1 / (1 + std::exp(-(kOffset + kLevel * level + kBackground * background)));
}

std::vector<double> levels_of(std::span<const double> similarities) {
  std::vector<double> levels(similarities.begin(), similarities.end());
  for (std::size_t begin = 0; begin < levels.size(); begin += kPlaces) {
    const auto places = std::span(levels).subspan(begin, std::min(kPlaces, levels.size() - begin));
    std::ranges::sort(places, std::greater<>());
  }
  for (std::size_t i = 1; i < levels.size(); ++i)
    levels[i] = std::min(levels[i], levels[i - 1] - kStep);
  return levels;
}

}  // namespace nearlite
