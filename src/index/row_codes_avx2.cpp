#include <immintrin.h>

#include "row_codes.h"

namespace nearlite {
namespace {

/// Products of 32 codes with 32 query bytes in eight sums. Widened to 16 bits first: 255 * 127 * 2
/// would not fit the sums that the byte instruction makes.
__m256i add_products(__m256i sum, const std::uint8_t* codes, const std::int8_t* query) {
  const auto* c = reinterpret_cast<const __m128i*>(codes);
  const auto* q = reinterpret_cast<const __m128i*>(query);
  for (int half = 0; half < 2; ++half) {
    const __m256i code = _mm256_cvtepu8_epi16(_mm_loadu_si128(c + half));
    const __m256i value = _mm256_cvtepi8_epi16(_mm_loadu_si128(q + half));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(code, value));
  }
  return sum;
}

}  // namespace

void row_products_avx2(const std::int8_t* query, const std::uint8_t* codes, std::size_t stride,
                       const std::uint32_t* rows, std::size_t count,
                       std::int32_t* products) noexcept {
  constexpr std::size_t kAhead = 4;  // rows on their way from memory
  for (std::size_t i = 0; i < count; ++i) {
    if (i + kAhead < count) prefetch_row(codes + std::size_t{rows[i + kAhead]} * stride, stride);
    const std::uint8_t* row = codes + std::size_t{rows[i]} * stride;
    __m256i even = _mm256_setzero_si256();
    __m256i odd = _mm256_setzero_si256();
    for (std::size_t j = 0; j < stride; j += 64) {
      even = add_products(even, row + j, query + j);
      odd = add_products(odd, row + j + 32, query + j + 32);
    }
    const __m256i all = _mm256_add_epi32(even, odd);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    products[i] = _mm_cvtsi128_si32(sum);
  }
}

}  // namespace nearlite
