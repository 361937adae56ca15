// For tests of this layer: the kernels of every instruction set, and which of them can run here.
#pragma once

#include <string_view>

#include "../kernels.h"

namespace nearlite::testing {

inline constexpr const Kernels* kKernelSets[] = {&kBaselineKernels, &kAvx2Kernels, &kAvx512Kernels,
                                                 &kAvx512VnniKernels};

inline bool can_run(const Kernels& kernels) {
  const std::string_view name = kernels.name;
  if (name == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (name == "avx512") return __builtin_cpu_supports("avx512bw");
  if (name == "avx512vnni") return __builtin_cpu_supports("avx512vnni");
  return true;
}

}  // namespace nearlite::testing
