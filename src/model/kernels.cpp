#include "kernels.h"

#include "nearlite/base/cpu.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace nearlite {

const Kernels& kernels() {
#if defined(__x86_64__)
  if (cpu_features().avx512_vnni) return kAvx512VnniKernels;
  if (cpu_features().avx512) return kAvx512Kernels;
  if (cpu_features().avx2) return kAvx2Kernels;
#endif
  return kBaselineKernels;
}

#if defined(__x86_64__)
FlushDenormals::FlushDenormals() noexcept : saved_(_mm_getcsr()) {
  constexpr unsigned kFlushToZero = 0x8000;
  constexpr unsigned kDenormalsAreZero = 0x0040;
  _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(saved_); }
#else
FlushDenormals::FlushDenormals() noexcept = default;
FlushDenormals::~FlushDenormals() = default;
#endif

}  // namespace nearlite
