#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

/// The exact answer over rows that somebody else owns: one fp32 scan, whose summing order is fixed,
/// so that every processor gives the same bits. It is the judge of all other indexes. Rows need not
/// be sorted by id here. Throws InvalidArgument as VectorIndex::search does, and for rows whose
/// counts disagree.
SearchResult exact_search(const VectorRows& rows, std::span<const float> query,
                          const SearchParams& params);

/// Throws InvalidArgument, naming the row, unless: dim is 1..65,536, the counts fit each other, ids
/// ascend strictly, and every value and every length of a vector is finite.
void check_rows(const VectorRows& rows);

/// Euclidean length, summed in double. [dim] floats.
float vector_norm(std::span<const float> vector) noexcept;

/// Exact search over a copy of the rows in memory. Thread-safe, as every VectorIndex.
class FlatIndex : public VectorIndex {
 public:
  /// Copies the rows. Throws InvalidArgument (check_rows).
  explicit FlatIndex(const VectorRows& rows);

  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  /// Writes a segment file (segment.h) of store "" and generation 0.
  void save(const std::filesystem::path& file) const override;
  std::size_t size() const noexcept override { return ids_.size(); }
  std::size_t dim() const noexcept override { return dim_; }
  Metric metric() const noexcept override { return Metric::kCosine; }
  VectorRows rows() const noexcept { return {ids_, values_, dim_}; }

 private:
  std::vector<VectorId> ids_;
  std::vector<float> values_;  // [size, dim] as given
  std::vector<float> norms_;
  std::size_t dim_;
};

}  // namespace nearlite
