// gcc 12 warns about its own header: values that _mm512_undefined_* leaves open on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <algorithm>

#include "code_scan.h"

namespace nearlite {
namespace {

constexpr std::size_t kStep = kCodeBlock * 4;  // bytes of 16 rows and a pair
// Bytes asked for early: the processor itself stops at the end of a page.
constexpr std::size_t kAhead = 8192;

struct Halves {
  Halves() = default;
  explicit Halves(const std::uint8_t* bytes) {
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i both = _mm512_loadu_si512(bytes);
    low = _mm512_and_si512(both, mask);
    high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
  }
  __m512i low;
  __m512i high;
};

}  // namespace

void high_products_vnni(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                        const std::int32_t* plane, std::int32_t* products) noexcept {
  for (std::size_t block = 0; block < num_blocks; ++block) {
    // Two sums, since one instruction must wait five cycles for the sum of the one before.
    __m512i of_low = _mm512_setzero_si512();
    __m512i of_high = _mm512_setzero_si512();
    for (std::size_t pair = 0; pair < pairs; ++pair, high += kStep) {
      _mm_prefetch(reinterpret_cast<const char*>(high) + kAhead, _MM_HINT_T0);
      const Halves halves(high);
      of_low = _mm512_dpbusd_epi32(of_low, halves.low, _mm512_set1_epi32(plane[2 * pair]));
      of_high = _mm512_dpbusd_epi32(of_high, halves.high, _mm512_set1_epi32(plane[2 * pair + 1]));
    }
    _mm512_storeu_si512(products + block * kCodeBlock, _mm512_add_epi32(of_low, of_high));
  }
}

namespace {

/// Of kBlocks blocks side by side, so that a value of a query is loaded once for all.
template <std::size_t kBlocks>
void products_of_four(const std::uint8_t* high, std::size_t pairs, const std::int32_t* planes,
                      std::int32_t* products, std::size_t stride) noexcept {
  const std::size_t block_bytes = pairs * kStep;
  __m512i sums[kBlocks][kManyQueries];
  for (auto& of_block : sums) {
    for (__m512i& sum : of_block) sum = _mm512_setzero_si512();
  }
  for (std::size_t pair = 0; pair < pairs; ++pair, high += kStep, planes += 2 * kManyQueries) {
    Halves halves[kBlocks];
#pragma GCC unroll 2
    for (std::size_t b = 0; b < kBlocks; ++b) {
      const std::uint8_t* bytes = high + b * block_bytes;
      _mm_prefetch(reinterpret_cast<const char*>(bytes) + kAhead, _MM_HINT_T0);
      halves[b] = Halves(bytes);
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kManyQueries; ++i) {
      const __m512i of_low = _mm512_set1_epi32(planes[i]);
      const __m512i of_high = _mm512_set1_epi32(planes[kManyQueries + i]);
#pragma GCC unroll 2
      for (std::size_t b = 0; b < kBlocks; ++b) {
        sums[b][i] = _mm512_dpbusd_epi32(sums[b][i], halves[b].low, of_low);
        sums[b][i] = _mm512_dpbusd_epi32(sums[b][i], halves[b].high, of_high);
      }
    }
  }
  for (std::size_t b = 0; b < kBlocks; ++b) {
    for (std::size_t i = 0; i < kManyQueries; ++i)
      _mm512_storeu_si512(products + i * stride + b * kCodeBlock, sums[b][i]);
  }
}

}  // namespace

void high_products_of_four_vnni(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                                const std::int32_t* planes, std::int32_t* products,
                                std::size_t stride) noexcept {
  const std::size_t block_bytes = pairs * kStep;
  std::size_t block = 0;
  for (; block + 2 <= num_blocks; block += 2)
    products_of_four<2>(high + block * block_bytes, pairs, planes, products + block * kCodeBlock,
                        stride);
  if (block < num_blocks)
    products_of_four<1>(high + block * block_bytes, pairs, planes, products + block * kCodeBlock,
                        stride);
}

void bound_rows_avx512(const std::int32_t* products, const RowBounds& rows, std::size_t count,
                       const HighBounds& bounds, float floor, float* upper,
                       std::uint64_t* reaching) noexcept {
  const __m512i offset = _mm512_set1_epi32(bounds.offset);
  const __m512 least = _mm512_set1_ps(floor);
  std::fill_n(reaching, (count + 63) / 64, 0);
  for (std::size_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<__mmask16>(count - i >= 16 ? 0xFFFFU : (1U << (count - i)) - 1U);
    const auto load = [&](const float* values) { return _mm512_maskz_loadu_ps(mask, values + i); };
    const __m512 centered =
        _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_maskz_loadu_epi32(mask, products + i), offset));
    const __m512 product = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(bounds.factor), centered),
                                         _mm512_set1_ps(bounds.shift));
    const __m512 error = _mm512_add_ps(
        _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(bounds.error_norm), load(rows.high_norms)),
                      _mm512_mul_ps(_mm512_set1_ps(bounds.across), load(rows.high_residuals))),
        _mm512_set1_ps(bounds.slack));
    const __m512 uppers = _mm512_add_ps(
        _mm512_add_ps(_mm512_add_ps(_mm512_set1_ps(bounds.mean_product),
                                    _mm512_mul_ps(load(rows.scales), product)),
                      _mm512_mul_ps(_mm512_set1_ps(bounds.along), load(rows.high_along))),
        error);
    _mm512_mask_storeu_ps(upper + i, mask, uppers);
    const auto bits = _mm512_mask_cmp_ps_mask(mask, uppers, least, _CMP_GE_OQ);
    reaching[i / 64] |= std::uint64_t{bits} << (i % 64);
  }
}

}  // namespace nearlite
