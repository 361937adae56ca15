#pragma once

#include <cstddef>
#include <cstdint>

namespace nearlite {

/// Where the packed weights of one model lie, one behind the other: a single range of large pages
/// where the system has them, as every small page costs a fault at load and a table walk whenever
/// weights stream through. Not for several threads at once; pieces live as long as this.
class WeightMemory {
 public:
  /// Reserves addresses; memory is taken when it is written to.
  explicit WeightMemory(std::size_t bytes) noexcept;
  ~WeightMemory();
  WeightMemory(const WeightMemory&) = delete;
  WeightMemory& operator=(const WeightMemory&) = delete;

  /// Room for `count` units at a cache line, or nullptr where there is no more.
  std::uint32_t* take(std::size_t count) noexcept;

 private:
  void* reserved_ = nullptr;
  std::size_t size_ = 0;
  std::size_t begin_ = 0;  // of the next piece
};

}  // namespace nearlite
