#pragma once

#include <cstddef>

namespace nearlite {

/// What kernels may be chosen at run time. `avx512` means F, BW, DQ and VL together.
struct CpuFeatures {
  bool avx2 = false;  // with FMA and F16C
  bool avx512 = false;
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
};

/// Read from the processor once. NEARLITE_ISA=scalar|avx2|avx512 lowers it, for tests of the other
/// paths (the only environment variable that the library reads by itself).
const CpuFeatures& cpu_features();

/// Processors that this process may use: affinity mask and cgroup quota. At least 1.
std::size_t available_cpus();
/// Half as many, at least 1: for work that is done best in few large pieces beside other work.
std::size_t half_the_cpus();

}  // namespace nearlite
