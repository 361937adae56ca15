// Four lanes: what every x86-64 processor has (SSE2), and what other processors can be compiled
// for.
#define NEARLITE_KERNEL_LANES 4
#define NEARLITE_GEMM_ROWS 4
#define NEARLITE_GEMM_VECTORS 2
#define NEARLITE_ATTENTION_ROWS 4
#define NEARLITE_ATTENTION_VECTORS 2
#define NEARLITE_KERNEL_VNNI 0
#include "kernels_impl.h"

namespace nearlite {
const Kernels kBaselineKernels = make_kernels("baseline");
}
