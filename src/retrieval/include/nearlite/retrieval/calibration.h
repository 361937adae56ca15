#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace nearlite {

/// What was said of one hit, and whether it was so.
struct Claim {
  double confidence = 0;  // 0 to 1
  bool relevant = false;
};

/// Claims of nearly the same confidence: of [i / 10, (i + 1) / 10) in the i-th of ten bins.
struct CalibrationBin {
  std::size_t claims = 0;
  double confidence = 0;  // mean of what was said
  double relevant = 0;    // share that was so
};

struct Calibration {
  std::size_t claims = 0;
  /// Expected calibration error: the mean distance of what was said from what was so, by bin,
  /// weighted by claims. 0 is perfect.
  double error = 0;
  std::array<CalibrationBin, 10> bins{};
};
Calibration calibration_of(std::span<const Claim> claims);

/// A diagram as SVG: per set a line of what was so over what was said, with dots as large as there
/// are claims, beside the line of perfect confidence.
std::string calibration_plot(std::span<const std::pair<std::string, Calibration>> sets);

}  // namespace nearlite
