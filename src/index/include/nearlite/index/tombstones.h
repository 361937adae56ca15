#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

/// A set of dead ids. A value: copies share what they have in common, and none ever changes, so any
/// number of threads may read one.
class Tombstones {
 public:
  Tombstones() = default;
  /// In any order; repeated ids count once.
  explicit Tombstones(std::vector<VectorId> dead);

  bool contains(VectorId id) const noexcept;
  std::size_t size() const noexcept { return (base_ ? base_->size() : 0) + recent_.size(); }
  bool empty() const noexcept { return size() == 0; }
  /// This set and more ids. Cheap for a few ids also when the set is large.
  Tombstones with(std::span<const VectorId> more) const;
  /// All ids, ascending.
  std::vector<VectorId> ids() const;

 private:
  std::shared_ptr<const std::vector<VectorId>> base_;  // sorted; shared
  std::vector<VectorId> recent_;  // sorted; at most kMaxRecent; none of them in base_
};

}  // namespace nearlite
