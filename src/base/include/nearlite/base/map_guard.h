#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nearlite {

/// Watches over one mapped file. If a page of it cannot be read any more (the file was cut: the
/// system sends SIGBUS), pages of zeros take its place, the reader goes on, and was_cut() says so
/// from then on. Other causes of SIGBUS go to whoever handled them before. docs/adr/0011.
class MapGuard {
 public:
  MapGuard() = default;
  /// The range of a map, which must live longer than the guard. Throws Unavailable if no handler
  /// can be installed.
  MapGuard(const void* start, std::size_t bytes);
  ~MapGuard();
  MapGuard(MapGuard&& other) noexcept;
  MapGuard& operator=(MapGuard&& other) noexcept;

  bool was_cut() const noexcept;

  struct Slot {
    std::atomic<std::uintptr_t> start = 0;  // 0: free
    std::atomic<std::uintptr_t> end = 0;    // 0: not yet in use
    std::atomic<bool> was_cut = false;
  };

 private:
  Slot* slot_ = nullptr;
};

}  // namespace nearlite
