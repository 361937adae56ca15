#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nearlite/index/delta.h"
#include "nearlite/index/segment.h"
#include "nearlite/index/tombstones.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

/// One segment, and if there is one an index built over exactly its rows (backend_file.h).
struct SnapshotPart {
  std::shared_ptr<const Segment> segment;
  std::shared_ptr<const VectorIndex> index = {};  // may be null
  // The same, of an owner who may take it back at any time: then answers are exact.
  std::weak_ptr<const VectorIndex> lent_index = {};
};

/// All vectors of a store at one moment: segments, delta and tombstones. Immutable and thread-safe;
/// make a new one after each change (it copies pointers, not vectors). No id is in two parts; every
/// dead id is in one.
class IndexSnapshot : public VectorIndex {
 public:
  /// Throws InvalidArgument if a part has another dimension, or an index another number of rows
  /// than its segment.
  IndexSnapshot(std::size_t dim, std::vector<SnapshotPart> parts, DeltaView delta = {},
                Tombstones dead = {});

  /// As VectorIndex::search over all live rows: exactly min(k, live rows that pass the filter) come
  /// back. Answers exactly whenever that is cheaper at the asked recall or params.recall is 1.0;
  /// params.index_only uses the index of every segment that has one. The result says which path was
  /// taken and what recall it promises. Throws InvalidArgument, or CorruptData if a touched part of
  /// a file is damaged.
  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  /// One result per query, each as search() gives it, but several times as many in the same time
  /// where an exact scan answers. queries: [n, dim] row-major; n may be 0.
  std::vector<SearchResult> search_batch(std::span<const float> queries,
                                         const SearchParams& params) const;
  /// Whether search() would scan every part, so that search_batch() is faster than single calls and
  /// gives the same answers by the same path.
  bool is_scanned(const SearchParams& params) const;
  /// The similarity to each of these rows, as search() gives it; nothing of an id that is not live
  /// or a row or query of length 0. Throws InvalidArgument if the query is not [dim] finite values.
  std::vector<std::optional<float>> similarities(std::span<const float> query,
                                                 std::span<const VectorId> ids) const;
  /// Writes all live rows as one segment file of store "" and generation 0.
  void save(const std::filesystem::path& file) const override;
  std::size_t size() const noexcept override;  // live rows
  std::size_t dim() const noexcept override { return dim_; }
  Metric metric() const noexcept override { return Metric::kCosine; }

  /// The live rows, ascending by id: what a merge writes and a backend's file is built from.
  struct Rows {
    std::vector<VectorId> ids;
    std::vector<float> values;
    std::size_t dim = 0;
    VectorRows view() const noexcept { return {ids, values, dim}; }
  };
  Rows live_rows() const;

  std::span<const SnapshotPart> parts() const noexcept { return parts_; }
  const DeltaView& delta() const noexcept { return delta_; }
  const Tombstones& tombstones() const noexcept { return dead_; }

 private:
  std::size_t dim_;
  std::vector<SnapshotPart> parts_;
  DeltaView delta_;
  Tombstones dead_;
};

}  // namespace nearlite
