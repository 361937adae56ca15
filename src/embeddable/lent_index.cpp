#include "lent_index.h"

#include <utility>

#include "nearlite/index/calibration.h"

namespace nearlite {

LentIndex::LentIndex(std::shared_ptr<MemoryBudget> budget)
    : share_(std::move(budget), "indexes", [this] {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock) return false;
        index_.reset();
        return true;
      }) {}

bool LentIndex::has_room(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  return share_.resize(bytes);
}

bool LentIndex::keep(std::shared_ptr<const VectorIndex> index) {
  const std::lock_guard lock(mutex_);
  const auto* costed = dynamic_cast<const CostedIndex*>(index.get());
  if (!share_.resize(costed != nullptr ? costed->memory_bytes() : 0)) {
    static_cast<void>(share_.resize(0));
    return false;
  }
  index_ = std::move(index);
  return true;
}

void LentIndex::drop() {
  const std::lock_guard lock(mutex_);
  index_.reset();
  static_cast<void>(share_.resize(0));
}

std::shared_ptr<const VectorIndex> LentIndex::get() const {
  const std::lock_guard lock(mutex_);
  return index_;
}

}  // namespace nearlite
