#include "nearlite/index/tombstones.h"

#include <algorithm>
#include <iterator>

namespace nearlite {
namespace {

// Recent ids are copied with every new set; when there are more, they are merged into a new shared
// base.
constexpr std::size_t kMaxRecent = 1024;

void sort_unique(std::vector<VectorId>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

Tombstones::Tombstones(std::vector<VectorId> dead) {
  sort_unique(dead);
  if (!dead.empty()) base_ = std::make_shared<const std::vector<VectorId>>(std::move(dead));
}

bool Tombstones::contains(VectorId id) const noexcept {
  return std::binary_search(recent_.begin(), recent_.end(), id) ||
         (base_ && std::binary_search(base_->begin(), base_->end(), id));
}

Tombstones Tombstones::with(std::span<const VectorId> more) const {
  Tombstones next;
  next.base_ = base_;
  next.recent_ = recent_;
  for (const VectorId id : more) {
    if (!base_ || !std::binary_search(base_->begin(), base_->end(), id)) next.recent_.push_back(id);
  }
  sort_unique(next.recent_);
  if (next.recent_.size() > kMaxRecent) return Tombstones(next.ids());
  return next;
}

std::vector<VectorId> Tombstones::ids() const {
  std::vector<VectorId> all;
  all.reserve(size());
  if (base_) {
    std::merge(base_->begin(), base_->end(), recent_.begin(), recent_.end(),
               std::back_inserter(all));
  } else {
    all = recent_;
  }
  return all;
}

}  // namespace nearlite
