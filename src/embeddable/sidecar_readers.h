#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "nearlite/base/memory_budget.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// Connections for reading one sidecar, opened as they are needed: as many at once as there are
/// processors, each used by one thread at a time. They share the words that were read already.
/// Thread-safe.
class SidecarReaders {
 public:
  /// memory: of words and pages; null: no limit.
  SidecarReaders(std::filesystem::path file, const Clock* clock,
                 std::shared_ptr<MemoryBudget> memory = nullptr);

  /// Runs `body` on one of them; false if there is no sidecar. Waits if all are in use, so `body`
  /// may not ask for another. Throws as Sidecar's constructor.
  bool read(const std::function<void(Sidecar&)>& body);
  /// What the pages of those take that nobody uses just now.
  std::uint64_t cache_bytes();

 private:
  class Lease;
  std::unique_ptr<Sidecar> take();  // null: there is no sidecar
  void give_back(std::unique_ptr<Sidecar> sidecar);

  const std::filesystem::path file_;
  const SidecarOptions options_;
  const std::size_t most_;
  const std::uint64_t page_bytes_;  // of each
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Sidecar>> idle_;
  std::size_t in_use_ = 0;
};

}  // namespace nearlite
