#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

/// The ids that a query may return. Immutable; any number of threads may read one.
class IdSet {
 public:
  /// In any order; repeated ids count once.
  explicit IdSet(std::vector<VectorId> ids);

  bool contains(VectorId id) const noexcept;
  std::size_t size() const noexcept { return ids_.size(); }
  /// Ascending.
  std::span<const VectorId> ids() const noexcept { return ids_; }
  /// Those from `first` to `last`, both included.
  std::span<const VectorId> between(VectorId first, VectorId last) const noexcept;

 private:
  std::vector<VectorId> ids_;        // sorted
  std::vector<std::uint64_t> bits_;  // from ids_.front() on; empty if it would be large
};

}  // namespace nearlite
