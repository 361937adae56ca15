#pragma once

#include <memory>
#include <span>

#include "nearlite/index/calibration.h"
#include "nearlite/index/id_set.h"

namespace nearlite {

/// An index seen through some of its ids: what one store sees of a file that holds several.
/// Thread-safe.
class SubsetIndex : public CostedIndex {
 public:
  /// `ids` should all be in the index; those that are not are never found.
  SubsetIndex(std::shared_ptr<const VectorIndex> index, std::span<const VectorId> ids);

  /// As the index, but only ids of the subset come back, and the cost is for finding k of them.
  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  /// Saves the whole index.
  void save(const std::filesystem::path& file) const override { index_->save(file); }
  std::size_t size() const noexcept override { return ids_->size(); }
  std::size_t dim() const noexcept override { return index_->dim(); }
  Metric metric() const noexcept override { return index_->metric(); }
  std::optional<double> estimated_us(const SearchParams& params) const override;
  std::uint64_t memory_bytes() const noexcept override;

 private:
  /// The same for the subset alone. A set that is asked for as well becomes a filter.
  SearchParams within(const SearchParams& params) const;

  std::shared_ptr<const VectorIndex> index_;
  std::shared_ptr<const IdSet> ids_;
};

}  // namespace nearlite
