#include <immintrin.h>

#include <array>

#include "dot.h"

namespace nearlite {
namespace {

constexpr std::size_t kLanes = 16;
// Floats asked for early in a scan of many rows: the processor itself stops at the end of a page.
constexpr std::size_t kAhead = 2048;

struct Sum16 {
  __m256 low = _mm256_setzero_ps();   // lanes 0 to 7
  __m256 high = _mm256_setzero_ps();  // lanes 8 to 15

  void add(const float* a, const float* b) {
    low = _mm256_add_ps(low, _mm256_mul_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b)));
    high = _mm256_add_ps(high, _mm256_mul_ps(_mm256_loadu_ps(a + 8), _mm256_loadu_ps(b + 8)));
  }
  float total() const {
    const __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }
};

/// The last, incomplete 16 values, padded by zeros.
struct Tail {
  std::array<float, kLanes> values{};
  Tail(const float* from, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) values[i] = from[i];
  }
};

template <std::size_t kRows>
void dot_block(const float* query, const float* rows, std::size_t stride, std::size_t dim,
               float* out) noexcept {
  std::array<Sum16, kRows> sum;
  const std::size_t whole = dim - dim % kLanes;
  for (std::size_t at = 0; at < whole; at += kLanes) {
    for (std::size_t r = 0; r < kRows; ++r) {
      const float* row = rows + r * stride + at;
      if constexpr (kRows > 1)
        _mm_prefetch(reinterpret_cast<const char*>(row + kAhead), _MM_HINT_T0);
      sum[r].add(query + at, row);
    }
  }
  if (whole != dim) {
    const Tail query_tail(query + whole, dim - whole);
    for (std::size_t r = 0; r < kRows; ++r) {
      const Tail row_tail(rows + r * stride + whole, dim - whole);
      sum[r].add(query_tail.values.data(), row_tail.values.data());
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) out[r] = sum[r].total();
}

}  // namespace

void dot_rows_avx2(const float* query, const float* rows, std::size_t num_rows, std::size_t stride,
                   std::size_t dim, float* out) noexcept {
  std::size_t row = 0;
  for (; row + 4 <= num_rows; row += 4) {
    dot_block<4>(query, rows + row * stride, stride, dim, out + row);
  }
  for (; row < num_rows; ++row) dot_block<1>(query, rows + row * stride, stride, dim, out + row);
}

}  // namespace nearlite
