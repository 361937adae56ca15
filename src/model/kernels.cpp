#include "kernels.h"

#include <string>
#include <vector>

#include "kernel_check.h"
#include "nearlite/base/cpu.h"
#include "nearlite/model/kernel_warning.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace nearlite {

namespace {

/// Chosen once: the best that the processor offers and that computes what the plain ones do.
const KernelChoice& choice() {
  static const KernelChoice chosen = [] {
    std::vector<const Kernels*> candidates;
#if defined(__x86_64__)
    if (cpu_features().avx512_vnni) candidates.push_back(&kAvx512VnniKernels);
    if (cpu_features().avx512) candidates.push_back(&kAvx512Kernels);
    if (cpu_features().avx2) candidates.push_back(&kAvx2Kernels);
#endif
    candidates.push_back(&kBaselineKernels);
    return first_sound(candidates);
  }();
  return chosen;
}

}  // namespace

const Kernels& kernels() { return *choice().kernels; }
const std::string& kernel_warning() { return choice().warning; }

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
