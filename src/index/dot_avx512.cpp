// gcc 12 warns about its own header: values that _mm512_undefined_* leaves open on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <array>

#include "dot.h"

namespace nearlite {
namespace {

constexpr std::size_t kLanes = 16;
// Floats asked for early in a scan of many rows: the processor itself stops at the end of a page.
constexpr std::size_t kAhead = 2048;

float total(__m512 sum) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

template <std::size_t kRows>
void dot_block(const float* query, const float* rows, std::size_t stride, std::size_t dim,
               float* out) noexcept {
  __m512 sum[kRows];
  for (std::size_t r = 0; r < kRows; ++r) sum[r] = _mm512_setzero_ps();
  const std::size_t whole = dim - dim % kLanes;
  for (std::size_t at = 0; at < whole; at += kLanes) {
    const __m512 q = _mm512_loadu_ps(query + at);
    for (std::size_t r = 0; r < kRows; ++r) {
      const float* row = rows + r * stride + at;
      if constexpr (kRows > 1)
        _mm_prefetch(reinterpret_cast<const char*>(row + kAhead), _MM_HINT_T0);
      sum[r] = _mm512_add_ps(sum[r], _mm512_mul_ps(q, _mm512_loadu_ps(row)));
    }
  }
  if (whole != dim) {
    const auto mask = static_cast<__mmask16>((1U << (dim - whole)) - 1U);
    const __m512 q = _mm512_maskz_loadu_ps(mask, query + whole);
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512 x = _mm512_maskz_loadu_ps(mask, rows + r * stride + whole);
      sum[r] = _mm512_add_ps(sum[r], _mm512_mul_ps(q, x));
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) out[r] = total(sum[r]);
}

}  // namespace

void dot_rows_avx512(const float* query, const float* rows, std::size_t num_rows,
                     std::size_t stride, std::size_t dim, float* out) noexcept {
  std::size_t row = 0;
  for (; row + 4 <= num_rows; row += 4) {
    dot_block<4>(query, rows + row * stride, stride, dim, out + row);
  }
  for (; row < num_rows; ++row) dot_block<1>(query, rows + row * stride, stride, dim, out + row);
}

}  // namespace nearlite
