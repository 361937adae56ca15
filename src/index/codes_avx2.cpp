#include <immintrin.h>

#include "codes.h"

namespace nearlite {
namespace {

/// Four products of each 32-bit lane, added. No intermediate sum leaves 16 bits (see kMaxPlane).
__m256i dot4(__m256i codes, __m256i query) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, query), _mm256_set1_epi16(1));
}

}  // namespace

void code_products_avx2(const std::uint8_t* codes, std::size_t num_blocks, std::size_t groups,
                        const std::int32_t* plane1, const std::int32_t* plane2,
                        std::int32_t* products1, std::int32_t* products2) noexcept {
  constexpr std::size_t kAhead =
      8192;  // bytes asked for early: the processor itself stops at the end of a page
  for (std::size_t block = 0; block < num_blocks; ++block) {
    __m256i low1 = _mm256_setzero_si256();  // rows 0 to 7
    __m256i low2 = _mm256_setzero_si256();
    __m256i high1 = _mm256_setzero_si256();  // rows 8 to 15
    __m256i high2 = _mm256_setzero_si256();
    for (std::size_t group = 0; group < groups; ++group) {
      _mm_prefetch(reinterpret_cast<const char*>(codes) + kAhead, _MM_HINT_T0);
      const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
      const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 32));
      const __m256i q1 = _mm256_set1_epi32(plane1[group]);
      const __m256i q2 = _mm256_set1_epi32(plane2[group]);
      low1 = _mm256_add_epi32(low1, dot4(low, q1));
      low2 = _mm256_add_epi32(low2, dot4(low, q2));
      high1 = _mm256_add_epi32(high1, dot4(high, q1));
      high2 = _mm256_add_epi32(high2, dot4(high, q2));
      codes += kCodeBlock * kCodeGroup;
    }
    const std::size_t at = block * kCodeBlock;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(products1 + at), low1);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(products1 + at + 8), high1);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(products2 + at), low2);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(products2 + at + 8), high2);
  }
}

float bound_rows_avx2(const std::int32_t* products1, const std::int32_t* products2,
                      const float* scales, const float* code_norms, const float* residual_norms,
                      std::size_t count, const CodeBounds& bounds, float* upper,
                      float* error) noexcept {
  const auto integers = [](const std::int32_t* values) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  };
  const __m256i offset1 = _mm256_set1_epi32(bounds.offset1);
  const __m256i offset2 = _mm256_set1_epi32(bounds.offset2);
  __m256 best = _mm256_set1_ps(-__builtin_inff());
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 p1 = _mm256_cvtepi32_ps(_mm256_sub_epi32(integers(products1 + i), offset1));
    const __m256 p2 = _mm256_cvtepi32_ps(_mm256_sub_epi32(integers(products2 + i), offset2));
    const __m256 product = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(bounds.scale1), p1),
                                         _mm256_mul_ps(_mm256_set1_ps(bounds.scale2), p2));
    const __m256 errors = _mm256_add_ps(
        _mm256_add_ps(
            _mm256_mul_ps(_mm256_set1_ps(bounds.error_norm), _mm256_loadu_ps(code_norms + i)),
            _mm256_mul_ps(_mm256_set1_ps(bounds.norm), _mm256_loadu_ps(residual_norms + i))),
        _mm256_set1_ps(bounds.slack));
    const __m256 uppers =
        _mm256_add_ps(_mm256_add_ps(_mm256_set1_ps(bounds.offset),
                                    _mm256_mul_ps(_mm256_loadu_ps(scales + i), product)),
                      errors);
    _mm256_storeu_ps(error + i, errors);
    _mm256_storeu_ps(upper + i, uppers);
    best = _mm256_max_ps(best, uppers);
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, best);
  float greatest = bound_rows_scalar(products1 + i, products2 + i, scales + i, code_norms + i,
                                     residual_norms + i, count - i, bounds, upper + i, error + i);
  for (const float lane : lanes) greatest = lane > greatest ? lane : greatest;
  return greatest;
}

}  // namespace nearlite
