#include "nearlite/index/delta.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "collector.h"
#include "nearlite/base/error.h"
#include "nearlite/index/flat_index.h"

namespace nearlite {
namespace {

constexpr std::size_t kFirstChunk = 64;  // rows

std::size_t rows_of_chunk(std::size_t chunk) { return kFirstChunk << chunk; }
/// Rows in all chunks before this one.
std::size_t start_of_chunk(std::size_t chunk) { return rows_of_chunk(chunk) - kFirstChunk; }
std::size_t chunk_of(std::size_t position) {
  return static_cast<std::size_t>(std::bit_width(position / kFirstChunk + 1)) - 1;
}

}  // namespace

struct DeltaIndex::Chunk {
  // Not cleared: the system maps the pages of a large chunk when they are written, so adding never
  // waits for it.
  Chunk(std::size_t rows, std::size_t dim)
      : ids(std::make_unique_for_overwrite<VectorId[]>(rows)),
        norms(std::make_unique_for_overwrite<float[]>(rows)),
        values(std::make_unique_for_overwrite<float[]>(rows * dim)) {}
  std::unique_ptr<VectorId[]> ids;
  std::unique_ptr<float[]> norms;
  std::unique_ptr<float[]> values;
};

DeltaIndex::DeltaIndex(std::size_t dim) : dim_(dim) {
  if (dim == 0) throw InvalidArgument("a delta of 0 dimensions");
}
DeltaIndex::~DeltaIndex() = default;

DeltaIndex::Place DeltaIndex::place_of(std::size_t position) const noexcept {
  const std::size_t chunk = chunk_of(position);
  return {chunks_[chunk].get(), position - start_of_chunk(chunk)};
}

void DeltaIndex::add(VectorId id, std::span<const float> vector) {
  if (vector.size() != dim_) {
    throw InvalidArgument("vector has " + std::to_string(vector.size()) +
                          " dimensions, the index has " + std::to_string(dim_));
  }
  check_rows({.ids = std::span(&id, 1), .values = vector, .dim = dim_});
  const std::lock_guard lock(adding_);
  const std::size_t position = size_.load(std::memory_order_relaxed);
  const std::size_t chunk_index = chunk_of(position);
  auto& slot = chunks_[chunk_index];
  if (!slot) slot = std::make_unique<Chunk>(rows_of_chunk(chunk_index), dim_);
  const std::size_t index = position - start_of_chunk(chunk_index);
  slot->ids[index] = id;
  slot->norms[index] = vector_norm(vector);
  std::copy(vector.begin(), vector.end(), slot->values.get() + index * dim_);
  size_.store(position + 1, std::memory_order_release);
}

VectorId DeltaIndex::id_at(std::size_t position) const noexcept {
  const Place place = place_of(position);
  return place.chunk->ids[place.index];
}

std::span<const float> DeltaIndex::vector_at(std::size_t position) const noexcept {
  const Place place = place_of(position);
  return {place.chunk->values.get() + place.index * dim_, dim_};
}

void DeltaIndex::collect(std::span<const float> unit_query, std::size_t num_rows,
                         Collector& collector) const {
  for (std::size_t chunk = 0; start_of_chunk(chunk) < num_rows; ++chunk) {
    const std::size_t count = std::min(rows_of_chunk(chunk), num_rows - start_of_chunk(chunk));
    const Chunk& rows = *chunks_[chunk];
    scan_rows(unit_query, rows.values.get(), dim_, {rows.norms.get(), count},
              {rows.ids.get(), count}, collector);
  }
}

std::optional<std::size_t> DeltaView::position_of(VectorId id) const noexcept {
  std::size_t low = 0;
  std::size_t high = num_rows;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (delta->id_at(middle) < id)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == num_rows || delta->id_at(low) != id) return std::nullopt;
  return low;
}

}  // namespace nearlite
