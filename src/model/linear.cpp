#include "linear.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

namespace nearlite {
namespace {

constexpr float kLargestWord = 32'767.0F;
constexpr float kLargestByte = 127.0F;
/// The length that columns of int16 weights are scaled to: with inputs of about the same length no
/// product of the two passes 2^31 (Cauchy and Schwarz), and both lose equally little.
constexpr float kWordColumnLength = 46'000.0F;

std::uint16_t bfloat16_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

/// What a column is multiplied with before it is rounded to integers; 0 for a column of zeros.
float factor_of_column(std::span<const float> column, float largest, float length) {
  float magnitude = 0;
  double squares = 0;
  for (const float value : column) {
    magnitude = std::max(magnitude, std::abs(value));
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  if (!(magnitude > 1e-30F)) return 0.0F;
  const float factor = largest / magnitude;
  if (length <= 0) return factor;
  return std::min(factor, static_cast<float>(static_cast<double>(length) / std::sqrt(squares)));
}

std::int32_t rounded(float value) { return static_cast<std::int32_t>(std::nearbyint(value)); }

}  // namespace

/// The weights as the kernels read them (see PackedGemm).
struct Linear::Packed {
  Packed(std::span<const float> weights, std::span<const float> given_bias, std::size_t in,
         std::size_t out, Precision chosen, Epilogue epilogue, const Kernels& given_kernels)
      : kernels(given_kernels), precision(chosen) {
    columns_per_panel = kernels.panel_columns;
    const std::size_t columns =
        (out + columns_per_panel - 1) / columns_per_panel * columns_per_panel;
    as_bytes = precision == Precision::kInt8 && kernels.gemm_bytes != nullptr;
    const std::size_t group = precision == Precision::kFp32 ? 1 : as_bytes ? 4 : 2;
    gemm.steps = (in + group - 1) / group;
    gemm.out = out;
    gemm.epilogue = epilogue;
    bias.assign(columns, 0.0F);
    std::copy(given_bias.begin(), given_bias.end(), bias.begin());
    units.assign(gemm.steps * columns, 0);
    for (std::size_t column = 0; column < out; ++column) {
      const auto values = weights.subspan(column * in, in);
      switch (precision) {
        case Precision::kAuto:
        case Precision::kFp32:
          put(column, values, [](float value) { return std::bit_cast<std::uint32_t>(value); });
          break;
        case Precision::kBf16:
          put(column, values, [](float value) { return std::uint32_t{bfloat16_of(value)}; });
          break;
        case Precision::kInt16:
        case Precision::kInt8:
          put_integers(column, values);
          break;
      }
    }
    // Rounding may lengthen a row by half a unit per input, and floats are not exact.
    row_length = static_cast<float>((2147483647.0 / std::max(1.0, std::sqrt(longest_column)) -
                                     0.5 * std::sqrt(static_cast<double>(in)) - 1.0) *
                                    0.9999);
    gemm.panels = units.data();
    gemm.bias = bias.data();
    gemm.column_scales = column_scales.data();
    gemm.offsets = offsets.data();
  }

  /// Writes the bits of one column, `group` neighbours in one unit.
  template <typename BitsOf>
  void put(std::size_t column, std::span<const float> values, BitsOf bits_of) {
    const std::size_t group = precision == Precision::kFp32 ? 1 : as_bytes ? 4 : 2;
    const std::size_t bits = 32 / group;
    std::uint32_t* to = units.data() + column / columns_per_panel * columns_per_panel * gemm.steps +
                        column % columns_per_panel;
    std::size_t k = 0;
    for (std::size_t step = 0; step < gemm.steps; ++step, to += columns_per_panel) {
      std::uint32_t unit = 0;
      for (std::size_t part = 0; part < group && k < values.size(); ++part, ++k) {
        unit |= bits_of(values[k]) << (part * bits);
      }
      *to = unit;
    }
  }

  void put_integers(std::size_t column, std::span<const float> values) {
    const bool words = precision == Precision::kInt16;
    const float factor = words ? factor_of_column(values, kLargestWord, kWordColumnLength)
                               : factor_of_column(values, kLargestByte, 0);
    const std::uint32_t mask = as_bytes ? 0xffU : 0xffffU;
    std::int64_t squares = 0;
    std::int32_t sum = 0;
    put(column, values, [&](float value) {
      const std::int32_t integer = rounded(value * factor);
      squares += std::int64_t{integer} * integer;
      sum += integer;
      return static_cast<std::uint32_t>(integer) & mask;
    });
    longest_column = std::max(longest_column, static_cast<double>(squares));
    column_scales.resize(bias.size());
    offsets.resize(bias.size());
    column_scales[column] = factor > 0 ? 1.0F / factor : 0.0F;
    offsets[column] = 128 * sum;
  }

  const Kernels& kernels;
  Precision precision;
  bool as_bytes = false;  // int8 weights are quads; else pairs, widened to int16
  std::size_t columns_per_panel = 0;
  std::vector<std::uint32_t> units;
  std::vector<float> bias;
  std::vector<float> column_scales;
  std::vector<std::int32_t> offsets;
  double longest_column = 0;  // squared length in units
  float row_length = 0;       // int16: the most that a row of inputs may have
  PackedGemm gemm;
};

Linear::Linear(std::span<const float> weights, std::span<const float> bias, std::size_t in,
               std::size_t out, Precision precision, Epilogue epilogue, const Kernels& kernels)
    : in_(in), out_(out) {
  assert(weights.size() == in * out && (bias.empty() || bias.size() == out));
  packed_ = std::make_unique<const Packed>(weights, bias, in, out, chosen_precision(precision),
                                           epilogue, kernels);
}

Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

namespace {

template <typename Value>
Value* room_for(std::vector<Value>& buffer, std::size_t count) {
  if (buffer.size() < count) buffer.resize(count);
  return buffer.data();
}

}  // namespace

void Linear::run(LinearContext& context, std::size_t rows, const float* source,
                 float* target) const {
  if (rows == 0) return;
  const PackedGemm& gemm = packed_->gemm;
  const Kernels& kernels = packed_->kernels;
  switch (packed_->precision) {
    case Precision::kAuto:
    case Precision::kFp32:
      return kernels.gemm(gemm, rows, source, target);
    case Precision::kBf16: {
      const std::size_t stride = 2 * gemm.steps;
      float* rounded_rows = room_for(context.rounded, rows * stride);
      kernels.round_to_bfloat16(source, rows, in_, rounded_rows, stride);
      return kernels.gemm_bfloat16(gemm, rows, rounded_rows, target);
    }
    case Precision::kInt16:
    case Precision::kInt8:
      break;
  }
  float* scales = room_for(context.scales, rows);
  if (packed_->as_bytes) {
    const std::size_t stride = 4 * gemm.steps;
    const QuantizedRows<std::uint8_t> quantized{room_for(context.bytes, rows * stride), scales,
                                                stride};
    kernels.quantize_bytes(source, rows, in_, quantized);
    return kernels.gemm_bytes(gemm, rows, quantized, target);
  }
  const bool words = packed_->precision == Precision::kInt16;
  const std::size_t stride = 2 * gemm.steps;
  const QuantizedRows<std::int16_t> quantized{room_for(context.words, rows * stride), scales,
                                              stride};
  kernels.quantize_words(source, rows, in_, words ? kLargestWord : kLargestByte,
                         words ? packed_->row_length : 0.0F, quantized);
  kernels.gemm_words(gemm, rows, quantized, target);
}

}  // namespace nearlite
