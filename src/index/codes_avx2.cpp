#include <immintrin.h>

#include <algorithm>

#include "code_scan.h"

namespace nearlite {
namespace {

// Bytes asked for early: the processor itself stops at the end of a page.
constexpr std::size_t kAhead = 8192;
// 15 * 127 * 2 = 3,810 is the most that one instruction adds up in 16 bits: eight fit.
constexpr std::size_t kPairsIn16Bits = 4;

/// Products of the low and the high halves of 32 bytes with 4 bytes of a query each, as 16 sums.
__m256i both_halves(__m256i low, __m256i high, __m256i q_low, __m256i q_high) {
  return _mm256_add_epi16(_mm256_maddubs_epi16(low, q_low), _mm256_maddubs_epi16(high, q_high));
}

__m256i load(const std::uint8_t* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}

void store(std::int32_t* to, __m256i sums) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sums);
}

__m256i widened(__m256i sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }

}  // namespace

void high_products_avx2(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                        const std::int32_t* plane, std::int32_t* products) noexcept {
  const __m256i mask = _mm256_set1_epi8(15);
  for (std::size_t block = 0; block < num_blocks; ++block) {
    __m256i first = _mm256_setzero_si256();   // rows 0 to 7
    __m256i second = _mm256_setzero_si256();  // rows 8 to 15
    for (std::size_t pair = 0; pair < pairs;) {
      __m256i first16 = _mm256_setzero_si256();
      __m256i second16 = _mm256_setzero_si256();
      for (const std::size_t end = std::min(pairs, pair + kPairsIn16Bits); pair < end; ++pair) {
        _mm_prefetch(reinterpret_cast<const char*>(high) + kAhead, _MM_HINT_T0);
        const __m256i a = load(high);
        const __m256i b = load(high + 32);
        const __m256i q_low = _mm256_set1_epi32(plane[2 * pair]);
        const __m256i q_high = _mm256_set1_epi32(plane[2 * pair + 1]);
        const __m256i a_high = _mm256_and_si256(_mm256_srli_epi16(a, 4), mask);
        const __m256i b_high = _mm256_and_si256(_mm256_srli_epi16(b, 4), mask);
        first16 = _mm256_add_epi16(first16,
                                   both_halves(_mm256_and_si256(a, mask), a_high, q_low, q_high));
        second16 = _mm256_add_epi16(second16,
                                    both_halves(_mm256_and_si256(b, mask), b_high, q_low, q_high));
        high += kCodeBlock * 4;
      }
      first = _mm256_add_epi32(first, widened(first16));
      second = _mm256_add_epi32(second, widened(second16));
    }
    store(products + block * kCodeBlock, first);
    store(products + block * kCodeBlock + 8, second);
  }
}

void high_products_of_four_avx2(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                                const std::int32_t* planes, std::int32_t* products,
                                std::size_t stride) noexcept {
  const __m256i mask = _mm256_set1_epi8(15);
  for (std::size_t block = 0; block < num_blocks; ++block) {
    __m256i first[kManyQueries] = {};   // rows 0 to 7
    __m256i second[kManyQueries] = {};  // rows 8 to 15
    for (std::size_t pair = 0; pair < pairs;) {
      __m256i first16[kManyQueries] = {};
      __m256i second16[kManyQueries] = {};
      for (const std::size_t end = std::min(pairs, pair + kPairsIn16Bits); pair < end; ++pair) {
        _mm_prefetch(reinterpret_cast<const char*>(high) + kAhead, _MM_HINT_T0);
        const __m256i a = load(high);
        const __m256i b = load(high + 32);
        const __m256i a_low = _mm256_and_si256(a, mask);
        const __m256i b_low = _mm256_and_si256(b, mask);
        const __m256i a_high = _mm256_and_si256(_mm256_srli_epi16(a, 4), mask);
        const __m256i b_high = _mm256_and_si256(_mm256_srli_epi16(b, 4), mask);
        const std::int32_t* q = planes + 2 * pair * kManyQueries;
#pragma GCC unroll 4
        for (std::size_t i = 0; i < kManyQueries; ++i) {
          const __m256i q_low = _mm256_set1_epi32(q[i]);
          const __m256i q_high = _mm256_set1_epi32(q[kManyQueries + i]);
          first16[i] = _mm256_add_epi16(first16[i], both_halves(a_low, a_high, q_low, q_high));
          second16[i] = _mm256_add_epi16(second16[i], both_halves(b_low, b_high, q_low, q_high));
        }
        high += kCodeBlock * 4;
      }
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kManyQueries; ++i) {
        first[i] = _mm256_add_epi32(first[i], widened(first16[i]));
        second[i] = _mm256_add_epi32(second[i], widened(second16[i]));
      }
    }
    for (std::size_t i = 0; i < kManyQueries; ++i) {
      store(products + i * stride + block * kCodeBlock, first[i]);
      store(products + i * stride + block * kCodeBlock + 8, second[i]);
    }
  }
}

std::int32_t low_product_avx2(const std::uint8_t* low, std::size_t pairs,
                              const std::int32_t* low_plane,
                              const std::int32_t* high_plane) noexcept {
  constexpr std::size_t kPairs = 8;  // in one register
  const __m256i mask = _mm256_set1_epi8(15);
  const auto words = [](const std::int32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  };
  __m256i sums = _mm256_setzero_si256();
  std::size_t pair = 0;
  for (; pair + kPairs <= pairs; pair += kPairs) {
    const __m256i both = load(low + 4 * pair);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
    sums = _mm256_add_epi32(
        sums, widened(both_halves(_mm256_and_si256(both, mask), high, words(low_plane + pair),
                                  words(high_plane + pair))));
  }
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum) +
         low_product_scalar(low + 4 * pair, pairs - pair, low_plane + pair, high_plane + pair);
}

void bound_rows_avx2(const std::int32_t* products, const RowBounds& rows, std::size_t count,
                     const HighBounds& bounds, float floor, float* upper,
                     std::uint64_t* reaching) noexcept {
  const __m256i offset = _mm256_set1_epi32(bounds.offset);
  const __m256 least = _mm256_set1_ps(floor);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    if (i % 64 == 0) reaching[i / 64] = 0;
    const __m256 centered = _mm256_cvtepi32_ps(_mm256_sub_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(products + i)), offset));
    const __m256 product = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(bounds.factor), centered),
                                         _mm256_set1_ps(bounds.shift));
    const __m256 error = _mm256_add_ps(
        _mm256_add_ps(
            _mm256_mul_ps(_mm256_set1_ps(bounds.error_norm), _mm256_loadu_ps(rows.high_norms + i)),
            _mm256_mul_ps(_mm256_set1_ps(bounds.across), _mm256_loadu_ps(rows.high_residuals + i))),
        _mm256_set1_ps(bounds.slack));
    const __m256 uppers = _mm256_add_ps(
        _mm256_add_ps(
            _mm256_add_ps(_mm256_set1_ps(bounds.mean_product),
                          _mm256_mul_ps(_mm256_loadu_ps(rows.scales + i), product)),
            _mm256_mul_ps(_mm256_set1_ps(bounds.along), _mm256_loadu_ps(rows.high_along + i))),
        error);
    _mm256_storeu_ps(upper + i, uppers);
    const int bits = _mm256_movemask_ps(_mm256_cmp_ps(uppers, least, _CMP_GE_OQ));
    reaching[i / 64] |= static_cast<std::uint64_t>(static_cast<unsigned>(bits)) << (i % 64);
  }
  if (i == count) return;
  std::uint64_t rest = 0;
  bound_rows_scalar(products + i,
                    {.scales = rows.scales + i,
                     .high_norms = rows.high_norms + i,
                     .high_residuals = rows.high_residuals + i,
                     .high_along = rows.high_along + i},
                    count - i, bounds, floor, upper + i, &rest);
  if (i % 64 == 0) reaching[i / 64] = 0;
  reaching[i / 64] |= rest << (i % 64);
}

}  // namespace nearlite
