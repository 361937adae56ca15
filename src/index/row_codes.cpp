#include "row_codes.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "codes.h"
#include "nearlite/base/cpu.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr int kMaxCode = 127;
constexpr std::int32_t kCodeOffset = 128;

}  // namespace

PageMemory::PageMemory(std::size_t bytes) {
  if (bytes == 0) return;
  void* address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw_errno("no memory for an index", errno);
  ::madvise(address, bytes, MADV_HUGEPAGE);  // a wish: without it all works, slower
  data_ = {static_cast<std::byte*>(address), UnmapPages{bytes}};
}

void UnmapPages::operator()(std::byte* data) const noexcept { ::munmap(data, bytes); }

RowCodes::RowCodes(std::size_t rows, std::size_t dim)
    : scales(rows), mean(dim), memory_(rows * code_stride(dim)) {
  if (rows > 0) std::memset(memory_.data(), kCodeOffset, memory_.size());
}

RowCodes::RowCodes(const StridedVectors& rows, std::span<const float> norms)
    : RowCodes(norms.size(), rows.dim) {
  mean = mean_direction(rows, norms);
  for (std::size_t i = 0; i < norms.size(); ++i) encode(i, rows.row(i), norms[i]);
}

void RowCodes::encode(std::size_t i, std::span<const float> vector, float norm) {
  if (norm == 0) return;
  float largest = 0;
  const float inverse_norm = 1.0F / norm;
  // A length whose inverse is no float: only vectors of lengths below 1e-38 or so.
  const auto centered = [&](std::size_t j) {
    return (std::isfinite(inverse_norm) ? vector[j] * inverse_norm : vector[j] / norm) - mean[j];
  };
  for (std::size_t j = 0; j < vector.size(); ++j)
    largest = std::max(largest, std::abs(centered(j)));
  scales[i] = largest / kMaxCode;
  const float inverse = scales[i] > 0 ? 1.0F / scales[i] : 0.0F;
  std::uint8_t* codes = row(i);
  for (std::size_t j = 0; j < vector.size(); ++j) {
    const float rounded = std::clamp(std::nearbyint(centered(j) * inverse), -127.0F, 127.0F);
    codes[j] = static_cast<std::uint8_t>(static_cast<int>(rounded) + kCodeOffset);
  }
}

CodedRowQuery::CodedRowQuery(std::span<const float> unit_query)
    : plane(code_stride(unit_query.size())) {
  float largest = 0;
  for (const float value : unit_query) largest = std::max(largest, std::abs(value));
  scale = largest / kMaxCode;
  if (scale == 0) return;
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < unit_query.size(); ++j) {
    const auto value = static_cast<int>(std::lround(unit_query[j] / scale));
    plane[j] = static_cast<std::int8_t>(std::clamp(value, -kMaxCode, kMaxCode));
    sum += plane[j];
  }
  offset = kCodeOffset * sum;
}

void CodedRowQuery::set_row(const std::uint8_t* codes, std::size_t stride, float row_scale) {
  plane.resize(stride);
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < stride; ++j) {
    plane[j] = static_cast<std::int8_t>(static_cast<int>(codes[j]) - kCodeOffset);
    sum += plane[j];
  }
  scale = row_scale;
  offset = kCodeOffset * sum;
}

void row_products_scalar(const std::int8_t* query, const std::uint8_t* codes, std::size_t stride,
                         const std::uint32_t* rows, std::size_t count,
                         std::int32_t* products) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* row = codes + std::size_t{rows[i]} * stride;
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < stride; ++j)
      sum += static_cast<std::int32_t>(row[j]) * static_cast<std::int32_t>(query[j]);
    products[i] = sum;
  }
}

RowProducts row_products() noexcept {
  static const RowProducts chosen = cpu_features().avx512 && cpu_features().avx512_vnni
                                        ? row_products_vnni
                                    : cpu_features().avx2 ? row_products_avx2
                                                          : row_products_scalar;
  return chosen;
}

}  // namespace nearlite
