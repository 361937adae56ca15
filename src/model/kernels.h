#pragma once

#include <cstddef>
#include <cstdint>

namespace nearlite {

/// One head of one sequence. Rows of query, key and value are `qkv_stride` floats apart, rows of
/// output `output_stride`. `scratch` holds attention_scratch_floats(num_tokens, head_dim) floats.
struct AttentionHead {
  const float* query = nullptr;  // [num_tokens, head_dim], already multiplied by 1/sqrt(head_dim)
  const float* key = nullptr;
  const float* value = nullptr;
  float* output = nullptr;
  float* scratch = nullptr;
  std::size_t num_tokens = 0;
  std::size_t head_dim = 0;
  std::size_t qkv_stride = 0;
  std::size_t output_stride = 0;
};

/// Weights of the built-in matrix product, [num_panels][in][panel_columns], columns behind `out`
/// are zero.
struct PackedGemm {
  const float* panels = nullptr;
  const float* bias = nullptr;  // [num_panels * panel_columns]
  std::size_t in = 0;
  std::size_t out = 0;
};

/// The inner loops of a transformer for one instruction set. In all of them a row of the result is
/// computed by the same operations in the same order whatever the number of rows is: a text's
/// vector must not depend on its batch mates.
struct Kernels {
  const char* name = "";
  std::size_t panel_columns = 0;
  /// target[r, :] = source[r, :] * weights + bias; source [rows, in], target [rows, out], both
  /// row-major.
  void (*gemm)(const PackedGemm& weights, std::size_t rows, const float* source,
               float* target) noexcept = nullptr;
  /// x * Phi(x) with the exact error function, to 5e-8 absolute.
  void (*gelu_erf)(float* values, std::size_t count) noexcept = nullptr;
  /// The tanh approximation of "gelu_new" and "gelu_pytorch_tanh".
  void (*gelu_tanh)(float* values, std::size_t count) noexcept = nullptr;
  void (*relu)(float* values, std::size_t count) noexcept = nullptr;
  /// target[r, :] = LayerNorm(target[r, :] + added[r, :]) * gamma + beta; variance in a second pass
  /// (the difference of squares loses all digits when the mean is large).
  void (*add_layer_norm)(float* target, const float* added, const float* gamma, const float* beta,
                         float epsilon, std::size_t rows, std::size_t dim) noexcept = nullptr;
  void (*attention)(const AttentionHead& head) noexcept = nullptr;
};

/// Floats of scratch that AttentionHead needs, for every instruction set.
constexpr std::size_t attention_scratch_floats(std::size_t num_tokens, std::size_t head_dim) {
  constexpr std::size_t kWidest = 16;  // floats in the widest register
  constexpr std::size_t kRows = 8;     // query rows that are worked on together
  const std::size_t tokens = (num_tokens + 2 * kWidest - 1) / (2 * kWidest) * (2 * kWidest);
  const std::size_t dim = (head_dim + 2 * kWidest - 1) / (2 * kWidest) * (2 * kWidest);
  return tokens * head_dim + tokens * dim + kRows * tokens;
}

extern const Kernels kBaselineKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;

/// The best that this processor has (and NEARLITE_ISA allows).
const Kernels& kernels();

/// Flushes denormal numbers to zero in this thread while it lives: one of them makes an operation a
/// hundred times slower.
class FlushDenormals {
 public:
  FlushDenormals() noexcept;
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_ = 0;
};

}  // namespace nearlite
