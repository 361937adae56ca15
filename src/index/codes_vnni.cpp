// gcc 12 warns about its own header: values that _mm512_undefined_* leaves open on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "codes.h"

namespace nearlite {

void code_products_vnni(const std::uint8_t* codes, std::size_t num_blocks, std::size_t groups,
                        const std::int32_t* plane1, const std::int32_t* plane2,
                        std::int32_t* products1, std::int32_t* products2) noexcept {
  constexpr std::size_t kStep = kCodeBlock * kCodeGroup;
  constexpr std::size_t kAhead =
      8192;  // bytes asked for early: the processor itself stops at the end of a page
  for (std::size_t block = 0; block < num_blocks; ++block) {
    // Two sums per plane, since one instruction must wait five cycles for the sum of the one
    // before.
    __m512i even1 = _mm512_setzero_si512();
    __m512i even2 = _mm512_setzero_si512();
    __m512i odd1 = _mm512_setzero_si512();
    __m512i odd2 = _mm512_setzero_si512();
    std::size_t group = 0;
    for (; group + 2 <= groups; group += 2, codes += 2 * kStep) {
      _mm_prefetch(reinterpret_cast<const char*>(codes) + kAhead, _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(codes) + kAhead + kStep, _MM_HINT_T0);
      const __m512i even = _mm512_loadu_si512(codes);
      const __m512i odd = _mm512_loadu_si512(codes + kStep);
      even1 = _mm512_dpbusd_epi32(even1, even, _mm512_set1_epi32(plane1[group]));
      even2 = _mm512_dpbusd_epi32(even2, even, _mm512_set1_epi32(plane2[group]));
      odd1 = _mm512_dpbusd_epi32(odd1, odd, _mm512_set1_epi32(plane1[group + 1]));
      odd2 = _mm512_dpbusd_epi32(odd2, odd, _mm512_set1_epi32(plane2[group + 1]));
    }
    if (group < groups) {
      const __m512i even = _mm512_loadu_si512(codes);
      even1 = _mm512_dpbusd_epi32(even1, even, _mm512_set1_epi32(plane1[group]));
      even2 = _mm512_dpbusd_epi32(even2, even, _mm512_set1_epi32(plane2[group]));
      codes += kStep;
    }
    _mm512_storeu_si512(products1 + block * kCodeBlock, _mm512_add_epi32(even1, odd1));
    _mm512_storeu_si512(products2 + block * kCodeBlock, _mm512_add_epi32(even2, odd2));
  }
}

}  // namespace nearlite
