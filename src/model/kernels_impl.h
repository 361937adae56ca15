// The kernels, written once over a vector of NEARLITE_KERNEL_LANES floats. Included by one file per
// instruction set, which sets the register block sizes too. Everything has internal linkage and
// no function of the standard library is called: a function shared with other files could be linked
// in its AVX-512 form and run on a processor without it.
#include "kernels.h"
#include "kernels_attention.h"
#include "kernels_attention_words.h"
#include "kernels_functions.h"
#include "kernels_product.h"
#include "kernels_rows.h"
#include "kernels_vector.h"

namespace nearlite {
namespace {

constexpr Kernels make_kernels(const char* name) {
  return {.name = name,
          .panel_columns = kPanelColumns,
          .gemm = gemm,
          .gemm_bfloat16 = gemm_bfloat16,
          .gemm_words = gemm_words,
          .gemm_bytes = gemm_bytes,
          .round_to_bfloat16 = round_to_bfloat16,
          .quantize_words = quantize_words,
          .quantize_weight_bytes = quantize_weight_bytes,
          .quantize_weight_words = quantize_weight_words,
          .quantize_range_bytes = quantize_range_bytes,
          .quantize_range_words = quantize_range_words,
          .gelu_erf = gelu_erf,
          .gelu_erf_short = gelu_erf_short,
          .gelu_tanh = gelu_tanh,
          .relu = relu,
          .add_layer_norm = add_layer_norm,
          .attention = attention,
          .attention_words = attention_words};
}

}  // namespace
}  // namespace nearlite
