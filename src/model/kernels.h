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
  /// What is added to the score of a query and a key: bias[key - query], from 1 - num_tokens to
  /// num_tokens - 1 and, without meaning, kBiasPadding more. nullptr: nothing.
  const float* bias = nullptr;
};
constexpr std::size_t kBiasPadding = 32;

/// What happens to a product before it is stored for good.
enum class Epilogue { kNone, kGeluErf, kGeluErfShort, kGeluTanh, kRelu };

/// What rounding a row to bytes leaves of its outliers, one above and one below all others: a value
/// that is far from the rest would cost the rest its resolution.
struct Outliers {
  std::uint32_t inputs[2] = {};
  float rests[2] = {};  // value minus what its byte stands for; 0: no outlier
};

/// The same of one weight.
struct WeightOutlier {
  std::uint32_t column;
  std::uint32_t input;
  float rest;
};

/// Packed weights of a matrix product: panels of panel_columns columns, each
/// [steps][columns][group], where a step takes `group` neighbouring inputs at once. Columns behind
/// `out` and inputs behind `in` are zero.
struct PackedGemm {
  const void* panels = nullptr;                 // float, bfloat16 pairs, int16 pairs or int8 quads
  const float* bias = nullptr;                  // [num_panels * panel_columns]
  const float* column_scales = nullptr;         // integers: what one unit of a column is worth
  const std::int32_t* offsets = nullptr;        // int8: the sum of each column, see gemm_bytes
  const WeightOutlier* outliers = nullptr;      // int8: of panel p, those from outlier_ends[p] to
  const std::uint32_t* outlier_ends = nullptr;  // outlier_ends[p + 1]; nullptr: none in any
  std::size_t steps = 0;                        // in / group, rounded up
  std::size_t out = 0;
  Epilogue epilogue = Epilogue::kNone;
};

/// Rounded rows: [rows, stride] integers, what one unit of each row is worth, and for bytes what
/// zero became.
template <typename Integer>
struct QuantizedRows {
  Integer* values = nullptr;
  float* scales = nullptr;
  std::size_t stride = 0;  // integers per row, a multiple of the group; zeros behind the inputs
  std::int32_t* zeros = nullptr;
  Outliers* outliers = nullptr;   // int8
  const float* floats = nullptr;  // int8: the rows before rounding, [rows, num_floats]
  std::size_t num_floats = 0;
};

/// The most that two neighbouring int8 weights may have together: instructions before VNNI sum two
/// products in 16 bits, of which the other factors are at most 254.
constexpr float kLargestBytePair = 129.0F;

constexpr float kOutlierWeight = 1.5F;
constexpr float kOutlierInput = 2.0F;

/// The inner loops of a transformer for one instruction set. In all of them a row of the result is
/// computed by the same operations in the same order whatever the number of rows is: a text's
/// vector must not depend on its batch mates.
struct Kernels {
  const char* name = "";
  std::size_t panel_columns = 0;
  /// target[r, :] = epilogue(source[r, :] * weights + bias); source [rows, in], target [rows, out],
  /// both row-major. Weights: float.
  void (*gemm)(const PackedGemm& weights, std::size_t rows, const float* source,
               float* target) noexcept = nullptr;
  /// The same with weights as pairs of bfloat16; source: [rows, 2 * steps] floats that
  /// round_to_bfloat16 made. Products and sums are fp32.
  void (*gemm_bfloat16)(const PackedGemm& weights, std::size_t rows, const float* source,
                        float* target) noexcept = nullptr;
  /// The same with int16 pairs, summed exactly in 32 bits: every instruction set gives the same
  /// sums. The scales of rows and columns must keep every sum below 2^31.
  void (*gemm_words)(const PackedGemm& weights, std::size_t rows,
                     const QuantizedRows<std::int16_t>& source, float* target) noexcept = nullptr;
  /// The same with int8 quads; source: a value plus its row's zero, as the instruction wants one
  /// factor without sign (weights.offsets takes that out again). Outliers of rows and weights are
  /// added in fp32. Null where there is no such
  /// instruction: the same integers then go through gemm_words.
  void (*gemm_bytes)(const PackedGemm& weights, std::size_t rows,
                     const QuantizedRows<std::uint8_t>& source, float* target) noexcept = nullptr;
  /// Rounds to the nearest bfloat16, ties to even, kept as float; zeros from `in` to `stride`.
  void (*round_to_bfloat16)(const float* source, std::size_t rows, std::size_t in, float* target,
                            std::size_t stride) noexcept = nullptr;
  /// Scales each row of `in` floats so that its largest magnitude is at most `largest` (32,767) and
  /// its Euclidean length at most `length`, and rounds to integers.
  void (*quantize_words)(const float* source, std::size_t rows, std::size_t in, float largest,
                         float length,
                         const QuantizedRows<std::int16_t>& target) noexcept = nullptr;
  /// Scales each row of weights so that none passes 127 and no two neighbours together pass
  /// kLargestBytePair, and rounds; as int8 with their sign (the zeros are not written). A weight
  /// more than kOutlierWeight times the next is cut down to it: the first of outliers has the rest.
  void (*quantize_weight_bytes)(const float* source, std::size_t rows, std::size_t in,
                                const QuantizedRows<std::uint8_t>& target) noexcept = nullptr;
  /// The same integers as int16.
  void (*quantize_weight_words)(const float* source, std::size_t rows, std::size_t in,
                                const QuantizedRows<std::int16_t>& target) noexcept = nullptr;
  /// Scales each row so that 254 steps lie between its least and its greatest value, zero included,
  /// rounds, and adds the zero so that none is negative. A value more than kOutlierInput times the
  /// next of its sign is cut down to it: outliers has the rest.
  void (*quantize_range_bytes)(const float* source, std::size_t rows, std::size_t in,
                               const QuantizedRows<std::uint8_t>& target) noexcept = nullptr;
  /// The same integers with their sign, without the zero.
  void (*quantize_range_words)(const float* source, std::size_t rows, std::size_t in,
                               const QuantizedRows<std::int16_t>& target) noexcept = nullptr;
  /// x * Phi(x) with the exact error function, to 5e-8 absolute.
  void (*gelu_erf)(float* values, std::size_t count) noexcept = nullptr;
  /// The same to 6e-5, for what is rounded to integers next.
  void (*gelu_erf_short)(float* values, std::size_t count) noexcept = nullptr;
  /// The tanh approximation of "gelu_new" and "gelu_pytorch_tanh".
  void (*gelu_tanh)(float* values, std::size_t count) noexcept = nullptr;
  void (*relu)(float* values, std::size_t count) noexcept = nullptr;
  /// target[r, :] = LayerNorm(target[r, :] + added[r, :]) * gamma + beta; variance in a second pass
  /// (the difference of squares loses all digits when the mean is large).
  void (*add_layer_norm)(float* target, const float* added, const float* gamma, const float* beta,
                         float epsilon, std::size_t rows, std::size_t dim) noexcept = nullptr;
  void (*attention)(const AttentionHead& head) noexcept = nullptr;
  /// The same with both products in int16, summed exactly: keys, queries, values and the weights of
  /// softmax are rounded to 13 bits or more of the largest of the head.
  void (*attention_words)(const AttentionHead& head) noexcept = nullptr;
};

/// Floats of scratch that AttentionHead needs, for every instruction set and both kinds.
constexpr std::size_t attention_scratch_floats(std::size_t num_tokens, std::size_t head_dim) {
  constexpr std::size_t kWidest = 32;  // floats in two of the widest registers
  constexpr std::size_t kRows = 8;     // query rows that are worked on together
  const std::size_t tokens = (num_tokens + kWidest - 1) / kWidest * kWidest;
  const std::size_t dim = (head_dim + kWidest - 1) / kWidest * kWidest;
  return 2 * tokens * dim + 2 * kRows * tokens;
}

extern const Kernels kBaselineKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VnniKernels;

/// The best that this processor has, NEARLITE_ISA allows and first_sound found to compute rightly.
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
