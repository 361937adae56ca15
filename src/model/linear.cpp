#include "linear.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <new>
#include <utility>

namespace nearlite {
namespace {

constexpr float kLargestWord = 32'767.0F;
/// The length that columns of int16 weights are scaled to: with inputs of about the same length no
/// product of the two passes 2^31 (Cauchy and Schwarz), and both lose equally little.
constexpr float kWordColumnLength = 46'000.0F;
constexpr std::size_t kAlignment = 64;  // a cache line, and the widest register

struct Freed {
  bool from_heap = true;
  void operator()(std::uint32_t* memory) const {
    if (from_heap) std::free(memory);
  }
};
using Units = std::unique_ptr<std::uint32_t[], Freed>;

/// Not set to zero: every page of it is written once anyway.
Units room_for_units(std::size_t count, WeightMemory* memory) {
  if (memory != nullptr) {
    if (std::uint32_t* piece = memory->take(count)) return Units(piece, Freed{false});
  }
  const std::size_t bytes =
      (count * sizeof(std::uint32_t) + kAlignment - 1) / kAlignment * kAlignment;
  auto* piece = static_cast<std::uint32_t*>(std::aligned_alloc(kAlignment, bytes));
  if (piece == nullptr) throw std::bad_alloc();
  return Units(piece);
}

}  // namespace

/// The weights as the kernels read them (see PackedGemm).
struct Linear::Packed {
  Packed(std::span<const WeightPart> parts, std::size_t given_in, Precision chosen,
         Epilogue epilogue, const Kernels& given_kernels,
         std::shared_ptr<WeightMemory> given_memory)
      : kernels(given_kernels), memory(std::move(given_memory)), precision(chosen), in(given_in) {
    for (const WeightPart& part : parts) gemm.out += part.weights.size() / in;
    panel_columns = kernels.panel_columns;
    const std::size_t columns = (gemm.out + panel_columns - 1) / panel_columns * panel_columns;
    as_bytes = precision == Precision::kInt8 && kernels.gemm_bytes != nullptr;
    group = precision == Precision::kFp32 ? 1 : as_bytes ? 4 : 2;
    gemm.steps = (in + group - 1) / group;
    gemm.epilogue = epilogue;
    bias.assign(columns, 0.0F);
    column_scales.assign(columns, 0.0F);
    offsets.assign(columns, 0);
    units = room_for_units(gemm.steps * columns, memory.get());
    // One panel at a time: its rows as units one behind the other, then across.
    rows.assign(panel_columns * gemm.steps, 0);
    floats.resize(precision == Precision::kBf16 ? panel_columns * 2 * gemm.steps : 0);
    std::size_t column = 0;
    for (const WeightPart& part : parts) {
      const std::size_t part_columns = part.weights.size() / in;
      for (std::size_t i = 0; i < part_columns; ++i, ++column) {
        if (!part.bias.empty()) bias[column] = part.bias[i] * part.scale;
        put_row(column, part.weights.subspan(i * in, in), part.scale);
        if (column % panel_columns + 1 == panel_columns) put_panel(column / panel_columns);
      }
    }
    if (column % panel_columns != 0) {
      std::fill(rows.begin() + static_cast<std::ptrdiff_t>(column % panel_columns * gemm.steps),
                rows.end(), 0U);
      put_panel(column / panel_columns);
    }
    rows = {};
    floats = {};
    point_at_outliers();
    // Rounding may lengthen a row or column by half a unit per input, and floats are not exact.
    const double rounding = 0.5 * std::sqrt(static_cast<double>(in)) + 1.0;
    row_length = static_cast<float>(
        (2147483647.0 / (static_cast<double>(kWordColumnLength) * 1.0001 + rounding) - rounding) *
        0.9999);
    gemm.panels = units.get();
    gemm.bias = bias.data();
    gemm.column_scales = column_scales.data();
    gemm.offsets = offsets.data();
  }

  /// One column of the product as `steps` units, `group` neighbouring inputs in each.
  void put_row(std::size_t column, std::span<const float> values, float scale) {
    std::uint32_t* to = rows.data() + column % panel_columns * gemm.steps;
    switch (precision) {
      case Precision::kAuto:
      case Precision::kFp32:
        for (std::size_t i = 0; i < in; ++i)
          to[i] = std::bit_cast<std::uint32_t>(values[i] * scale);
        return;
      case Precision::kBf16: {
        scaled.resize(in);
        for (std::size_t i = 0; i < in; ++i) scaled[i] = values[i] * scale;
        kernels.round_to_bfloat16(scaled.data(), 1, in, floats.data(), 2 * gemm.steps);
        for (std::size_t step = 0; step < gemm.steps; ++step) {
          to[step] = (std::bit_cast<std::uint32_t>(floats[2 * step]) >> 16U) |
                     std::bit_cast<std::uint32_t>(floats[2 * step + 1]);
        }
        return;
      }
      case Precision::kInt16:
      case Precision::kInt8:
        break;
    }
    float unit = 0;
    Outliers outlier;
    if (as_bytes) {
      auto* bytes = reinterpret_cast<std::uint8_t*>(to);
      kernels.quantize_weight_bytes(values.data(), 1, in,
                                    {bytes, &unit, 4 * gemm.steps, nullptr, &outlier});
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < in; ++i) sum += static_cast<std::int8_t>(bytes[i]);
      offsets[column] = sum;
    } else if (precision == Precision::kInt8) {
      kernels.quantize_weight_words(
          values.data(), 1, in,
          {reinterpret_cast<std::int16_t*>(to), &unit, 2 * gemm.steps, nullptr, &outlier});
    } else {
      kernels.quantize_words(values.data(), 1, in, kLargestWord, kWordColumnLength,
                             {reinterpret_cast<std::int16_t*>(to), &unit, 2 * gemm.steps});
    }
    column_scales[column] = unit * scale;
    if (outlier.rests[0] != 0.0F) {
      weight_outliers.push_back(
          {static_cast<std::uint32_t>(column), outlier.inputs[0], outlier.rests[0] * scale});
    }
  }

  /// Which weight outliers are in which panel; they stand in the order of their columns.
  void point_at_outliers() {
    if (weight_outliers.empty()) return;
    const std::size_t num_panels = (gemm.out + panel_columns - 1) / panel_columns;
    outlier_ends.assign(num_panels + 1, 0);
    for (const WeightOutlier& outlier : weight_outliers) {
      ++outlier_ends[outlier.column / panel_columns + 1];
    }
    for (std::size_t panel = 0; panel < num_panels; ++panel) {
      outlier_ends[panel + 1] += outlier_ends[panel];
    }
    gemm.outliers = weight_outliers.data();
    gemm.outlier_ends = outlier_ends.data();
  }

  void put_panel(std::size_t panel) {
    std::uint32_t* to = units.get() + panel * panel_columns * gemm.steps;
    constexpr std::size_t kBlock = 16;  // steps: a cache line of each row
    for (std::size_t first = 0; first < gemm.steps; first += kBlock) {
      const std::size_t end = std::min(first + kBlock, gemm.steps);
      for (std::size_t column = 0; column < panel_columns; ++column) {
        const std::uint32_t* from = rows.data() + column * gemm.steps;
        for (std::size_t step = first; step < end; ++step) {
          to[step * panel_columns + column] = from[step];
        }
      }
    }
  }

  const Kernels& kernels;
  std::shared_ptr<WeightMemory> memory;
  Precision precision;
  std::size_t in = 0;
  std::size_t group = 1;
  bool as_bytes = false;  // int8 weights are quads; else pairs, widened to int16
  std::size_t panel_columns = 0;
  Units units;
  std::vector<float> bias;
  std::vector<float> column_scales;
  std::vector<std::int32_t> offsets;
  std::vector<WeightOutlier> weight_outliers;
  std::vector<std::uint32_t> outlier_ends;
  float row_length = 0;  // int16: the most that a row of inputs may have
  PackedGemm gemm;
  std::vector<std::uint32_t> rows;  // of one panel, while packing
  std::vector<float> floats;
  std::vector<float> scaled;
};

Linear::Linear(std::span<const WeightPart> parts, std::size_t in, Precision precision,
               Epilogue epilogue, const Kernels& kernels, std::shared_ptr<WeightMemory> memory)
    : in_(in) {
  packed_ = std::make_unique<const Packed>(parts, in, chosen_precision(precision), epilogue,
                                           kernels, std::move(memory));
  out_ = packed_->gemm.out;
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
  if (packed_->precision == Precision::kInt16) {
    const std::size_t stride = 2 * gemm.steps;
    const QuantizedRows<std::int16_t> words{room_for(context.words, rows * stride), scales, stride};
    kernels.quantize_words(source, rows, in_, kLargestWord, packed_->row_length, words);
    return kernels.gemm_words(gemm, rows, words, target);
  }
  std::int32_t* zeros = room_for(context.zeros, rows);
  Outliers* outliers = room_for(context.outliers, rows);
  if (packed_->as_bytes) {
    const std::size_t stride = 4 * gemm.steps;
    const QuantizedRows<std::uint8_t> bytes{
        room_for(context.bytes, rows * stride), scales, stride, zeros, outliers, source, in_};
    kernels.quantize_range_bytes(source, rows, in_, bytes);
    return kernels.gemm_bytes(gemm, rows, bytes, target);
  }
  const std::size_t stride = 2 * gemm.steps;
  const QuantizedRows<std::int16_t> words{
      room_for(context.words, rows * stride), scales, stride, zeros, outliers, source, in_};
  kernels.quantize_range_words(source, rows, in_, words);
  kernels.gemm_words(gemm, rows, words, target);
}

}  // namespace nearlite
