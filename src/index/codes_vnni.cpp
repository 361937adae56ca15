// gcc 12 warns about its own header: values that _mm512_undefined_* leaves open on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "code_scan.h"

namespace nearlite {
namespace {

constexpr std::size_t kStep = kCodeBlock * 4;  // bytes of 16 rows and a pair
// Bytes asked for early: the processor itself stops at the end of a page.
constexpr std::size_t kAhead = 8192;

struct Halves {
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

void high_products_of_four_vnni(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                                const std::int32_t* planes, std::int32_t* products,
                                std::size_t stride) noexcept {
  for (std::size_t block = 0; block < num_blocks; ++block) {
    __m512i of_low[kManyQueries] = {};
    __m512i of_high[kManyQueries] = {};
    for (std::size_t pair = 0; pair < pairs; ++pair, high += kStep) {
      _mm_prefetch(reinterpret_cast<const char*>(high) + kAhead, _MM_HINT_T0);
      const Halves halves(high);
      const std::int32_t* q = planes + 2 * pair * kManyQueries;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kManyQueries; ++i) {
        of_low[i] = _mm512_dpbusd_epi32(of_low[i], halves.low, _mm512_set1_epi32(q[i]));
        of_high[i] =
            _mm512_dpbusd_epi32(of_high[i], halves.high, _mm512_set1_epi32(q[kManyQueries + i]));
      }
    }
    for (std::size_t i = 0; i < kManyQueries; ++i) {
      _mm512_storeu_si512(products + i * stride + block * kCodeBlock,
                          _mm512_add_epi32(of_low[i], of_high[i]));
    }
  }
}

}  // namespace nearlite
