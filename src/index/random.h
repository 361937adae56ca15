#pragma once

#include <cstddef>
#include <cstdint>

namespace nearlite {

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same numbers everywhere, unlike the
/// distributions of <random>.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t limit) noexcept { return next() % limit; }

 private:
  std::uint64_t state_;
};

}  // namespace nearlite
