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

}  // namespace nearlite
