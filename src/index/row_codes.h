#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

// Vectors as bytes, one row after the other: for walks that visit rows in no order (graph, forest),
// where each visit waits for memory and a quarter of the bytes is a quarter of the wait. Scores
// rank candidates only; whatever is returned was scored in fp32.
//
// y = x / |x| - mean, stored as round(y / scale) + 128. Similarity of a unit query u to a row is
// <u, mean> + scale * <u, code>, up to the rounding of both.

/// Bytes of one row: a multiple of the widest register; the padding is multiplied by zeros.
inline std::size_t code_stride(std::size_t dim) { return (dim + 63) / 64 * 64; }

struct UnmapPages {
  std::size_t bytes = 0;
  void operator()(std::byte* data) const noexcept;
};

/// Memory of whole pages, of the large kind where the system has them: random visits then hardly
/// ever wait for an address to be translated.
class PageMemory {
 public:
  PageMemory() = default;
  /// Zeros. Throws Unavailable if there is no memory.
  explicit PageMemory(std::size_t bytes);
  std::byte* data() noexcept { return data_.get(); }
  const std::byte* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return data_.get_deleter().bytes; }

 private:
  std::unique_ptr<std::byte, UnmapPages> data_;
};

/// Rows somewhere in memory, `stride` floats apart.
struct StridedVectors {
  const float* values = nullptr;
  std::size_t stride = 0;
  std::size_t dim = 0;
  std::span<const float> row(std::size_t i) const noexcept { return {values + i * stride, dim}; }
};

/// What ranks rows; owned.
class RowCodes {
 public:
  RowCodes() = default;
  /// Room for `rows`, all codes 128 (that is 0).
  RowCodes(std::size_t rows, std::size_t dim);
  /// Codes of rows with these lengths; a row of length 0 gets zeros.
  RowCodes(const StridedVectors& rows, std::span<const float> norms);

  std::size_t size() const noexcept { return scales.size(); }
  std::size_t dim() const noexcept { return mean.size(); }
  std::size_t stride() const noexcept { return code_stride(mean.size()); }
  std::uint8_t* row(std::size_t i) noexcept {
    return reinterpret_cast<std::uint8_t*>(memory_.data()) + i * stride();
  }
  const std::uint8_t* row(std::size_t i) const noexcept {
    return reinterpret_cast<const std::uint8_t*>(memory_.data()) + i * stride();
  }
  /// All rows: [size, stride].
  std::span<std::uint8_t> bytes() noexcept { return {row(0), size() * stride()}; }
  std::span<const std::uint8_t> bytes() const noexcept { return {row(0), size() * stride()}; }
  /// Codes one row with a given mean.
  void encode(std::size_t i, std::span<const float> vector, float norm);

  std::vector<float> scales;  // [rows]
  std::vector<float> mean;    // [dim]

 private:
  PageMemory memory_;
};

/// A query in the same form: one signed byte per dimension.
struct CodedRowQuery {
  CodedRowQuery() = default;
  explicit CodedRowQuery(std::span<const float> unit_query);
  /// A coded row as the query.
  void set_row(const std::uint8_t* codes, std::size_t stride, float row_scale);

  /// <query, y> of a row, from the raw product.
  float score(std::int32_t product, float row_scale) const noexcept {
    return scale * row_scale * static_cast<float>(product - offset);
  }
  std::vector<std::int8_t> plane;  // [stride]
  float scale = 0;
  std::int32_t offset = 0;  // of the 128 in each code
};

/// Raw products of a query with some rows: exact integers, so every implementation agrees.
/// query: [stride] signed bytes; codes: rows of `stride` bytes, a multiple of 64.
using RowProducts = void (*)(const std::int8_t* query, const std::uint8_t* codes,
                             std::size_t stride, const std::uint32_t* rows, std::size_t count,
                             std::int32_t* products) noexcept;
void row_products_scalar(const std::int8_t* query, const std::uint8_t* codes, std::size_t stride,
                         const std::uint32_t* rows, std::size_t count,
                         std::int32_t* products) noexcept;
void row_products_avx2(const std::int8_t* query, const std::uint8_t* codes, std::size_t stride,
                       const std::uint32_t* rows, std::size_t count,
                       std::int32_t* products) noexcept;
void row_products_vnni(const std::int8_t* query, const std::uint8_t* codes, std::size_t stride,
                       const std::uint32_t* rows, std::size_t count,
                       std::int32_t* products) noexcept;
/// The fastest one for this processor.
RowProducts row_products() noexcept;

/// Asks for a whole row at once; the processor by itself would notice only after a few lines.
inline void prefetch_row(const void* row, std::size_t bytes) noexcept {
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < bytes; at += kLine)
    __builtin_prefetch(static_cast<const char*>(row) + at);
}

}  // namespace nearlite
