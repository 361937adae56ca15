#define NEARLITE_KERNEL_LANES 16
#define NEARLITE_GEMM_ROWS 12
#define NEARLITE_GEMM_VECTORS 2
#define NEARLITE_ATTENTION_ROWS 8
#define NEARLITE_ATTENTION_VECTORS 2
#define NEARLITE_KERNEL_VNNI 1
#include "kernels_impl.h"

namespace nearlite {
const Kernels kAvx512VnniKernels = make_kernels("avx512vnni");
}
