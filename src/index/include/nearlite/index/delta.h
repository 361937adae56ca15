#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "nearlite/index/vector_index.h"

namespace nearlite {

class Collector;

/// Vectors that are in no segment yet, in memory, in order of arrival; scanned exactly. Rows are
/// never moved, changed or removed. One thread adds at a time (others wait); any number read
/// meanwhile and never wait.
class DeltaIndex {
 public:
  explicit DeltaIndex(std::size_t dim);
  ~DeltaIndex();
  DeltaIndex(const DeltaIndex&) = delete;
  DeltaIndex& operator=(const DeltaIndex&) = delete;

  /// Appends one row; its cost does not depend on size(). An id must not be added twice.
  /// Throws InvalidArgument if the size is not dim() or a value or the length is not finite.
  void add(VectorId id, std::span<const float> vector);

  std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  std::size_t dim() const noexcept { return dim_; }
  /// Position below size(), in order of arrival.
  VectorId id_at(std::size_t position) const noexcept;
  std::span<const float> vector_at(std::size_t position) const noexcept;

  /// Offers the first `num_rows` rows to a collector (private header collector.h): for snapshots.
  void collect(std::span<const float> unit_query, std::size_t num_rows, Collector& collector) const;

 private:
  struct Chunk;
  struct Place {
    const Chunk* chunk;
    std::size_t index;
  };
  Place place_of(std::size_t position) const noexcept;

  // Chunk c holds 64 * 2^c rows, so this table never grows and readers need no lock.
  static constexpr std::size_t kNumChunks = 40;
  std::size_t dim_;
  std::mutex adding_;
  std::array<std::unique_ptr<Chunk>, kNumChunks> chunks_;
  std::atomic<std::size_t> size_{0};  // published last, so that a row below it is complete
};

/// The rows that a delta had at one moment.
struct DeltaView {
  DeltaView() = default;
  /// All rows of now.
  explicit DeltaView(std::shared_ptr<const DeltaIndex> index)
      : delta(std::move(index)), num_rows(delta ? delta->size() : 0) {}

  /// Where an id stands, if it does: ids arrive in ascending order.
  std::optional<std::size_t> position_of(VectorId id) const noexcept;

  std::shared_ptr<const DeltaIndex> delta;
  std::size_t num_rows = 0;
};

}  // namespace nearlite
