#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "nearlite/base/memory_budget.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

/// An opened index file that goes when its memory is needed elsewhere; searches that use it just
/// then end first. Thread-safe.
class LentIndex {
 public:
  explicit LentIndex(std::shared_ptr<MemoryBudget> budget);

  /// Whether an index of so much memory would fit. Others may have to go for it.
  bool has_room(std::uint64_t bytes);
  /// False if it does not fit, and then it is not kept.
  bool keep(std::shared_ptr<const VectorIndex> index);
  void drop();
  std::shared_ptr<const VectorIndex> get() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const VectorIndex> index_;
  MemoryBudget::Share share_;
};

}  // namespace nearlite
