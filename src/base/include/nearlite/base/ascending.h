#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nearlite {

/// Where `value` stands among integers that ascend without repeats, or their number if it does not.
/// Numbers that were given out one after the other have few gaps: it is looked for from the place
/// where it would stand without any, towards the front, in growing steps.
template <typename T>
std::size_t find_ascending(std::span<const T> values, T value) noexcept {
  if (values.empty() || value < values.front() || values.back() < value) return values.size();
  // values[i] >= values[0] + i, so it is no further back.
  const std::uint64_t distance =
      static_cast<std::uint64_t>(value) - static_cast<std::uint64_t>(values.front());
  std::size_t high = static_cast<std::size_t>(std::min<std::uint64_t>(values.size() - 1, distance));
  std::size_t step = 1;
  while (high >= step && !(values[high - step] < value)) {
    high -= step;
    step *= 2;
  }
  const auto from = values.begin() + static_cast<std::ptrdiff_t>(high >= step ? high - step : 0);
  const auto found =
      std::lower_bound(from, values.begin() + static_cast<std::ptrdiff_t>(high), value);
  return *found == value ? static_cast<std::size_t>(found - values.begin()) : values.size();
}

}  // namespace nearlite
