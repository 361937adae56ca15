#include "nearlite/index/subset_index.h"

#include <utility>

namespace nearlite {

SubsetIndex::SubsetIndex(std::shared_ptr<const VectorIndex> index, std::span<const VectorId> ids)
    : index_(std::move(index)),
      ids_(std::make_shared<const IdSet>(std::vector<VectorId>(ids.begin(), ids.end()))) {}

SearchParams SubsetIndex::within(const SearchParams& params) const {
  SearchParams inner = params;
  inner.among = ids_;
  if (params.among) {
    inner.filter = [asked = params.among, filter = params.filter](VectorId id) {
      return asked->contains(id) && (!filter || filter(id));
    };
  }
  return inner;
}

SearchResult SubsetIndex::search(std::span<const float> query, const SearchParams& params) const {
  return index_->search(query, within(params));
}

std::optional<double> SubsetIndex::estimated_us(const SearchParams& params) const {
  const auto* costed = dynamic_cast<const CostedIndex*>(index_.get());
  if (costed == nullptr) return std::nullopt;
  return costed->estimated_us(within(params));
}

std::uint64_t SubsetIndex::memory_bytes() const noexcept {
  const auto* costed = dynamic_cast<const CostedIndex*>(index_.get());
  return (costed != nullptr ? costed->memory_bytes() : 0) + ids_->size() * sizeof(VectorId);
}

}  // namespace nearlite
