// gcc 12 warns about its own header: values that _mm512_undefined_* leaves open on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "row_codes.h"

namespace nearlite {

void row_products_vnni(const std::int8_t* query, const std::uint8_t* codes, std::size_t stride,
                       const std::uint32_t* rows, std::size_t count,
                       std::int32_t* products) noexcept {
  constexpr std::size_t kAhead = 4;  // rows on their way from memory
  for (std::size_t i = 0; i < count; ++i) {
    if (i + kAhead < count) prefetch_row(codes + std::size_t{rows[i + kAhead]} * stride, stride);
    const std::uint8_t* row = codes + std::size_t{rows[i]} * stride;
    // Two sums, since one instruction must wait five cycles for the sum of the one before.
    __m512i even = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();
    std::size_t j = 0;
    for (; j + 128 <= stride; j += 128) {
      even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(row + j), _mm512_loadu_si512(query + j));
      odd = _mm512_dpbusd_epi32(odd, _mm512_loadu_si512(row + j + 64),
                                _mm512_loadu_si512(query + j + 64));
    }
    if (j < stride) {
      even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(row + j), _mm512_loadu_si512(query + j));
    }
    products[i] = _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd));
  }
}

}  // namespace nearlite
