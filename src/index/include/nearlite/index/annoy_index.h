#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite/base/map_guard.h"
#include "nearlite/base/once.h"
#include "nearlite/index/calibration.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

class Collector;
class RowCodes;

struct AnnoyParams {
  std::size_t num_trees = 10;
  std::uint64_t seed = 1;
  std::size_t threads = 1;  // changes the time only: the file is the same for any number
};

/// Writes an index file of the Annoy library (angular distance, float32, items 0..n-1 in the order
/// of rows) that Python's annoy loads; the caller commits it. Same rows and params: the same bytes.
/// Throws InvalidArgument (check_rows; more than 2^30 rows) or Unavailable.
void build_annoy(AtomicFile& file, const VectorRows& rows, const AnnoyParams& params = {});

/// A mapped Annoy file. The file names neither dimension nor ids nor metric, so they come from the
/// caller. Thread-safe.
class AnnoyIndex : public CostedIndex {
 public:
  /// ids: of the items in slot order. One pass over all nodes proves the file safe to walk; a cut,
  /// foreign or inconsistent one throws CorruptData. Whether vectors inside were changed cannot be
  /// told without a digest: compare the manifest's first. Throws NotFound, Unavailable,
  /// CorruptData.
  static std::shared_ptr<const AnnoyIndex> open(const std::filesystem::path& file, std::size_t dim,
                                                std::vector<VectorId> ids,
                                                Calibration calibration = {});

  /// Walks the forest with the cheapest effort calibrated for params.recall (the greatest one if
  /// none reaches it) and scores the candidates in fp32. Fewer than min(k, size) survivors of
  /// filter or forest: answers exactly instead.
  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  void save(const std::filesystem::path& file) const override;
  std::size_t size() const noexcept override { return ids_.size(); }
  std::size_t dim() const noexcept override { return dim_; }
  Metric metric() const noexcept override { return Metric::kCosine; }

  /// Measured now if open() was given none: up to 256 stored vectors against their exact neighbors,
  /// and questions that people asked.
  const Calibration& calibration(const AskedQuestions& asked = {}) const;
  std::size_t num_trees() const noexcept { return roots_.size(); }

  /// Searches with this many candidates collected: for calibration and comparisons.
  SearchResult search_with_effort(std::span<const float> query, const SearchParams& params,
                                  std::size_t search_k) const;
  ~AnnoyIndex() override;
  std::optional<double> estimated_us(const SearchParams& params) const override;
  std::uint64_t memory_bytes() const noexcept override;

 private:
  AnnoyIndex(const std::filesystem::path& file, std::size_t dim, std::vector<VectorId> ids,
             Calibration calibration);
  void check_unchanged() const;
  const std::byte* node(std::size_t index) const noexcept;
  void collect_all(std::span<const float> unit_query, Collector& collector) const;
  /// Nothing: an exact scan is as good. Grown for a larger k and for a filter that few ids pass.
  std::optional<Effort> effort_of(const SearchParams& params) const;
  Calibration measure(const AskedQuestions& asked) const;
  std::vector<std::uint32_t> best_by_codes(std::span<const std::uint32_t> candidates,
                                           std::span<const float> unit_query,
                                           const Collector& collector) const;

  MappedFile mapped_;
  MapGuard guard_;
  std::size_t dim_;
  std::size_t node_bytes_;
  std::vector<VectorId> ids_;
  std::vector<float> norms_;
  std::vector<std::int32_t> roots_;
  std::unique_ptr<const RowCodes> codes_;  // of the items: what candidates are ranked by
  mutable Once calibrated_;
  mutable Calibration calibration_;
};

}  // namespace nearlite
