#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "nearlite/base/files.h"
#include "nearlite/base/memory_budget.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

class BlockFile;
class Collector;
struct SegmentLayout;

/// Whose vectors a segment holds.
struct SegmentInfo {
  std::string store = {};           // name of the store, at most 4,096 bytes
  std::uint64_t generation = 0;     // of the manifest that introduces it
  std::string model_identity = {};  // of the encoder, at most 4,096 bytes
  std::size_t dim = 0;              // floats per vector; must be that of the rows
};

/// What the manifest should remember of a written segment, and what open() compares.
struct SegmentDigest {
  std::uint64_t rows = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t content_hash =
      0;  // XXH3 over the hashes of all blocks: tells every byte of the file
  friend bool operator==(const SegmentDigest&, const SegmentDigest&) = default;
};

/// Writes the layout of docs/formats/segment-file.md; the caller commits the file.
/// rows: ids strictly ascending, any lengths, zero vectors allowed. Throws InvalidArgument
/// (check_rows) or Unavailable.
SegmentDigest write_segment(AtomicFile& file, const VectorRows& rows, const SegmentInfo& info);
/// The same, committed: the whole file or none.
SegmentDigest write_segment(const std::filesystem::path& file, const VectorRows& rows,
                            const SegmentInfo& info);

/// What the file must be; each empty member is not compared.
struct SegmentExpectation {
  std::optional<std::string> store = {};
  std::optional<std::uint64_t> generation = {};
  std::optional<std::string> model_identity = {};
  std::optional<std::size_t> dim = {};
  std::optional<SegmentDigest> digest = {};
};

/// Immutable vectors in a mapped file, searched exactly. Header, footer and structure are checked
/// at open, each block of 64 KiB when it is first touched in this process. Thread-safe. Every
/// member that reads vectors or ids throws CorruptData, naming file and block, if what it touches
/// is damaged.
class Segment : public VectorIndex {
 public:
  /// Throws NotFound, Unavailable, or CorruptData: not a segment, damaged, cut, of a newer version,
  /// or not what was expected.
  /// budget: of the pages of the file that searches touch; those that do not fit it are given back
  /// while and after they are read. Null: the system decides alone.
  static std::shared_ptr<const Segment> open(const std::filesystem::path& file,
                                             const SegmentExpectation& expectation = {},
                                             std::shared_ptr<MemoryBudget> budget = nullptr);
  ~Segment() override;

  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  /// Copies the file.
  void save(const std::filesystem::path& file) const override;
  std::size_t size() const noexcept override;
  std::size_t dim() const noexcept override;
  Metric metric() const noexcept override { return Metric::kCosine; }

  const SegmentInfo& info() const noexcept;
  const SegmentDigest& digest() const noexcept;
  const std::filesystem::path& file() const noexcept;

  /// All ids and vectors, verified now. The view lives as long as the segment.
  VectorRows rows() const;
  /// All ids, ascending, verified now.
  std::span<const VectorId> ids() const;
  /// Where an id stands, if it is here.
  std::optional<std::size_t> position_of(VectorId id) const;
  /// The vector at a position below size(), bit for bit as written: [dim] floats.
  std::span<const float> vector_at(std::size_t position) const;
  /// Verifies every block that was not verified yet.
  void verify() const;

  /// Bytes that one exact search reads, for the planner.
  std::uint64_t scan_bytes() const noexcept;
  /// Offers the best rows to a collector (private header collector.h): for snapshots.
  void collect(std::span<const float> unit_query, Collector& collector) const;
  /// The same for many queries at once, which share what is read; all of one k and filter.
  void collect(std::span<const std::span<const float>> unit_queries,
               std::span<Collector> collectors) const;
  /// The similarities that searches report of these ids' rows; of those that are not here, or of
  /// norm 0, what is there stays. ids, to: equally many.
  void similarities(std::span<const float> unit_query, std::span<const VectorId> ids,
                    std::span<std::optional<float>> to) const;
  /// Offers these ids' rows, if they are here: for indexes that found them.
  void collect_found(std::span<const Neighbor> found, std::span<const float> unit_query,
                     Collector& collector) const;

 private:
  explicit Segment(std::unique_ptr<BlockFile> file);
  void verify_scanned(std::size_t first, std::size_t count) const;
  void collect_by_codes(std::span<const std::span<const float>> unit_queries,
                        std::span<Collector> collectors) const;
  void collect_members(std::span<const VectorId> wanted,
                       std::span<const std::span<const float>> unit_queries,
                       std::span<Collector> collectors) const;
  void prefetch_vector(std::size_t row) const noexcept;
  void offer_row(std::size_t row, std::span<const float> unit_query, Collector& collector) const;

  std::unique_ptr<BlockFile> file_;
  std::unique_ptr<SegmentLayout> layout_;
};

}  // namespace nearlite
