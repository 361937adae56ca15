#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite/index/calibration.h"
#include "nearlite/index/segment.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

class BlockFile;
class Collector;
class GraphWalk;
struct Graph;
class RowCodes;

struct GraphOptions {
  std::size_t degree = 32;   // links per row, 4 to 256
  std::size_t effort = 150;  // candidates looked at for the links of a row, degree to 10,000
  std::uint64_t seed = 1;
  std::size_t threads = 1;    // changes the time only: the file is the same for any number
  AskedQuestions asked = {};  // take part in the calibration
};

/// Writes a graph over 8-bit codes of the rows, with the rows and what recall it reaches, in the
/// layout of docs/formats/graph-file.md; the caller commits it. Same rows and options: the same
/// links. Throws InvalidArgument (check_rows; more than 2^31 rows; options) or Unavailable.
SegmentDigest build_graph_file(AtomicFile& file, const VectorRows& rows, const SegmentInfo& info,
                               const GraphOptions& options = {});

/// A graph file, open for search. Links and codes are read into memory, the rows stay mapped.
/// Thread-safe. Members throw CorruptData if a part of the file that they touch is damaged, or it
/// was changed while it was open.
class GraphIndex : public CostedIndex {
 public:
  /// Checks everything but the rows, whose blocks are verified when they are first touched. Throws
  /// NotFound, Unavailable, or CorruptData: no graph, damaged, cut, of a newer version, of other
  /// ids, or not what was expected.
  static std::shared_ptr<const GraphIndex> open(const std::filesystem::path& file,
                                                std::span<const VectorId> ids,
                                                const SegmentExpectation& expectation = {});
  ~GraphIndex() override;

  /// Walks the graph with the least effort that reaches params.recall (the greatest one if none
  /// does), and scores the best candidates in fp32. Fewer than min(k, size) survivors of filter or
  /// walk: answers exactly instead.
  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  void save(const std::filesystem::path& file) const override;
  std::size_t size() const noexcept override { return ids_.size(); }
  std::size_t dim() const noexcept override;
  Metric metric() const noexcept override { return Metric::kCosine; }
  std::optional<double> estimated_us(const SearchParams& params) const override;
  std::uint64_t memory_bytes() const noexcept override;

  /// What was measured when the graph was built, over up to 256 of its vectors.
  const Calibration& calibration() const noexcept { return calibration_; }
  /// Searches with this many candidates kept: for comparisons.
  SearchResult search_with_effort(std::span<const float> query, const SearchParams& params,
                                  std::size_t effort) const;
  const SegmentInfo& info() const noexcept;
  /// Verifies every block that was not verified yet.
  void verify() const;

 private:
  explicit GraphIndex(std::unique_ptr<BlockFile> file);
  void load_and_check();
  void load_levels();
  void check_rows_named() const;
  void scan(std::span<const float> unit_query, Collector& collector) const;

  class Walks;
  std::unique_ptr<BlockFile> file_;
  std::span<const VectorId> ids_;  // into the file
  std::span<const float> norms_;
  std::span<const float> values_;
  std::unique_ptr<RowCodes> codes_;
  std::unique_ptr<Graph> graph_;
  Calibration calibration_;
  std::unique_ptr<Walks> walks_;
};

}  // namespace nearlite
