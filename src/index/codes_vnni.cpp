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

void code_products_of_four_vnni(const std::uint8_t* codes, std::size_t num_blocks,
                                std::size_t groups, const std::int32_t* planes,
                                std::int32_t* products, std::size_t stride) noexcept {
  constexpr std::size_t kStep = kCodeBlock * kCodeGroup;
  constexpr std::size_t kPlanes = 2 * kManyQueries;
  std::size_t block = 0;
  // Two blocks at a time: each word of a plane is read once for both.
  for (; block + 2 <= num_blocks; block += 2) {
    const std::uint8_t* first = codes + block * groups * kStep;
    const std::uint8_t* second = first + groups * kStep;
    __m512i sums1[kPlanes];
    __m512i sums2[kPlanes];
    for (std::size_t i = 0; i < kPlanes; ++i) sums1[i] = sums2[i] = _mm512_setzero_si512();
    for (std::size_t group = 0; group < groups; ++group) {
      const __m512i codes1 = _mm512_loadu_si512(first + group * kStep);
      const __m512i codes2 = _mm512_loadu_si512(second + group * kStep);
      const std::int32_t* words = planes + group * kPlanes;
#pragma GCC unroll 8
      for (std::size_t i = 0; i < kPlanes; ++i) {
        const __m512i word = _mm512_set1_epi32(words[i]);
        sums1[i] = _mm512_dpbusd_epi32(sums1[i], codes1, word);
        sums2[i] = _mm512_dpbusd_epi32(sums2[i], codes2, word);
      }
    }
    for (std::size_t i = 0; i < kPlanes; ++i) {
      _mm512_storeu_si512(products + i * stride + block * kCodeBlock, sums1[i]);
      _mm512_storeu_si512(products + i * stride + (block + 1) * kCodeBlock, sums2[i]);
    }
  }
  if (block == num_blocks) return;
  const std::uint8_t* last = codes + block * groups * kStep;
  __m512i sums[kPlanes];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (std::size_t group = 0; group < groups; ++group) {
    const __m512i some = _mm512_loadu_si512(last + group * kStep);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kPlanes; ++i)
      sums[i] = _mm512_dpbusd_epi32(sums[i], some, _mm512_set1_epi32(planes[group * kPlanes + i]));
  }
  for (std::size_t i = 0; i < kPlanes; ++i)
    _mm512_storeu_si512(products + i * stride + block * kCodeBlock, sums[i]);
}

float bound_rows_avx512(const std::int32_t* products1, const std::int32_t* products2,
                        const float* scales, const float* code_norms, const float* residual_norms,
                        std::size_t count, const CodeBounds& bounds, float* upper,
                        float* error) noexcept {
  const __m512 scale1 = _mm512_set1_ps(bounds.scale1);
  const __m512 scale2 = _mm512_set1_ps(bounds.scale2);
  const __m512i offset1 = _mm512_set1_epi32(bounds.offset1);
  const __m512i offset2 = _mm512_set1_epi32(bounds.offset2);
  const __m512 offset = _mm512_set1_ps(bounds.offset);
  const __m512 error_norm = _mm512_set1_ps(bounds.error_norm);
  const __m512 norm = _mm512_set1_ps(bounds.norm);
  const __m512 slack = _mm512_set1_ps(bounds.slack);
  const __m512 least = _mm512_set1_ps(-__builtin_inff());
  __m512 best = least;
  for (std::size_t i = 0; i < count; i += 16) {
    const auto lanes = static_cast<__mmask16>(count - i >= 16 ? 0xffffU : (1U << (count - i)) - 1U);
    const __m512i p1 = _mm512_sub_epi32(_mm512_maskz_loadu_epi32(lanes, products1 + i), offset1);
    const __m512i p2 = _mm512_sub_epi32(_mm512_maskz_loadu_epi32(lanes, products2 + i), offset2);
    const __m512 product = _mm512_add_ps(_mm512_mul_ps(scale1, _mm512_cvtepi32_ps(p1)),
                                         _mm512_mul_ps(scale2, _mm512_cvtepi32_ps(p2)));
    const __m512 errors = _mm512_add_ps(
        _mm512_add_ps(_mm512_mul_ps(error_norm, _mm512_maskz_loadu_ps(lanes, code_norms + i)),
                      _mm512_mul_ps(norm, _mm512_maskz_loadu_ps(lanes, residual_norms + i))),
        slack);
    const __m512 uppers = _mm512_add_ps(
        _mm512_add_ps(offset, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, scales + i), product)),
        errors);
    _mm512_mask_storeu_ps(error + i, lanes, errors);
    _mm512_mask_storeu_ps(upper + i, lanes, uppers);
    best = _mm512_mask_max_ps(best, lanes, best, uppers);
  }
  float lanes[16];
  _mm512_storeu_ps(lanes, best);
  float greatest = lanes[0];
  for (const float lane : lanes) greatest = lane > greatest ? lane : greatest;
  return greatest;
}

}  // namespace nearlite
