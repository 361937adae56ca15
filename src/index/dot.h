#pragma once

#include <cstddef>

namespace nearlite {

/// Inner products of one query with many rows, out[i] = query . (rows + i * stride).
/// Every implementation sums in the same order: product j goes to lane j % 16 (a row that is no
/// multiple of 16 long counts as padded by zeros), no fused multiply-add, then lanes are added in
/// halves: 8, 4, 2, 1. So all give the same bits.
using DotRows = void (*)(const float* query, const float* rows, std::size_t num_rows,
                         std::size_t stride, std::size_t dim, float* out) noexcept;

void dot_rows_scalar(const float* query, const float* rows, std::size_t num_rows,
                     std::size_t stride, std::size_t dim, float* out) noexcept;
void dot_rows_avx2(const float* query, const float* rows, std::size_t num_rows, std::size_t stride,
                   std::size_t dim, float* out) noexcept;
void dot_rows_avx512(const float* query, const float* rows, std::size_t num_rows,
                     std::size_t stride, std::size_t dim, float* out) noexcept;

/// The fastest one for this processor.
DotRows dot_rows() noexcept;

}  // namespace nearlite
