#include "nearlite/index/id_set.h"

#include <algorithm>

namespace nearlite {
namespace {

constexpr std::uint64_t kBitsPerId = 256;  // a bit map at most this sparse

std::uint64_t distance(VectorId from, VectorId to) noexcept {
  return static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
}

}  // namespace

IdSet::IdSet(std::vector<VectorId> ids) : ids_(std::move(ids)) {
  std::sort(ids_.begin(), ids_.end());
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
  if (ids_.empty()) return;
  const std::uint64_t range = distance(ids_.front(), ids_.back());
  if (range / kBitsPerId >= ids_.size()) return;
  bits_.resize(range / 64 + 1);
  for (const VectorId id : ids_) {
    const std::uint64_t at = distance(ids_.front(), id);
    bits_[at / 64] |= std::uint64_t{1} << (at % 64);
  }
}

bool IdSet::contains(VectorId id) const noexcept {
  if (ids_.empty() || id < ids_.front() || id > ids_.back()) return false;
  if (bits_.empty()) return std::binary_search(ids_.begin(), ids_.end(), id);
  const std::uint64_t at = distance(ids_.front(), id);
  return ((bits_[at / 64] >> (at % 64)) & 1) != 0;
}

std::span<const VectorId> IdSet::between(VectorId first, VectorId last) const noexcept {
  const auto from = std::lower_bound(ids_.begin(), ids_.end(), first);
  const auto to = std::upper_bound(from, ids_.end(), last);
  return {from, to};
}

}  // namespace nearlite
