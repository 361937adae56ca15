#define NEARLITE_KERNEL_LANES 8
#define NEARLITE_GEMM_ROWS 6
#define NEARLITE_GEMM_VECTORS 2
#define NEARLITE_ATTENTION_ROWS 4
#define NEARLITE_ATTENTION_VECTORS 2
#define NEARLITE_KERNEL_VNNI 0
#include "kernels_impl.h"

namespace nearlite {
const Kernels kAvx2Kernels = make_kernels("avx2");
}
