// Matrix products in four precisions.
#pragma once

#include "kernels.h"
#include "kernels_functions.h"
#include "kernels_vector.h"

namespace nearlite {
namespace {

// ---- matrix product

constexpr std::size_t kGemmRows = NEARLITE_GEMM_ROWS;
constexpr std::size_t kGemmVectors = NEARLITE_GEMM_VECTORS;
constexpr std::size_t kPanelColumns = kGemmVectors * kLanes;

template <typename Function>
NEARLITE_INLINE void for_each_row(float* tile, std::size_t rows, std::size_t stride,
                                  std::size_t columns, Function function) {
  for (std::size_t r = 0; r < rows; ++r, tile += stride) {
    if (columns == kPanelColumns) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kGemmVectors; ++v) {
        store(tile + v * kLanes, function(load(tile + v * kLanes)));
      }
    } else {
      for_each_vector(tile, columns, function);
    }
  }
}

void activate_tile(Epilogue epilogue, float* tile, std::size_t rows, std::size_t stride,
                   std::size_t columns) noexcept {
  switch (epilogue) {
    case Epilogue::kGeluErf:
      return for_each_row(tile, rows, stride, columns, [](Vec x) { return gelu_erf_of(x); });
    case Epilogue::kGeluErfShort:
      return for_each_row(tile, rows, stride, columns, [](Vec x) { return gelu_erf_short_of(x); });
    case Epilogue::kGeluTanh:
      return for_each_row(tile, rows, stride, columns, [](Vec x) { return gelu_tanh_of(x); });
    case Epilogue::kRelu:
      return for_each_row(tile, rows, stride, columns, [](Vec x) { return relu_of(x); });
    case Epilogue::kNone:
      return;
  }
}

/// Float weights, one input per step.
struct FloatProduct {
  using Source = const float*;
  using Sum = Vec;
  static constexpr bool kHasOutliers = false;
  static constexpr std::size_t kGroup = 1;
  static constexpr std::size_t kStepBytes = kPanelColumns * sizeof(float);

  NEARLITE_INLINE static Source row(const Source& source, const PackedGemm& weights,
                                    std::size_t row) {
    return source + row * weights.steps;
  }
  template <std::size_t Rows>
  NEARLITE_INLINE static void step(Sum (&sums)[Rows][kGemmVectors], const std::byte* panel,
                                   const Source& source, const PackedGemm& weights, std::size_t k) {
    const auto* from = reinterpret_cast<const float*>(panel);
    Vec columns[kGemmVectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) columns[v] = load(from + v * kLanes);
#pragma GCC unroll 12
    for (std::size_t r = 0; r < Rows; ++r) {
      const Vec factor = splat(source[r * weights.steps + k]);
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kGemmVectors; ++v) sums[r][v] += factor * columns[v];
    }
  }
  NEARLITE_INLINE static Sum initial(const PackedGemm& weights, const Source&, std::size_t,
                                     std::size_t column) {
    return load(weights.bias + column);
  }
  NEARLITE_INLINE static Vec value(Sum sum, const Source&, const PackedGemm&, std::size_t,
                                   std::size_t) {
    return sum;
  }
};

/// Pairs of bfloat16, widened as they are read.
struct BfloatProduct {
  using Source = const float*;
  using Sum = Vec;
  static constexpr bool kHasOutliers = false;
  static constexpr std::size_t kGroup = 2;
  static constexpr std::size_t kStepBytes = kPanelColumns * sizeof(std::int32_t);

  NEARLITE_INLINE static Source row(const Source& source, const PackedGemm& weights,
                                    std::size_t row) {
    return source + row * 2 * weights.steps;
  }
  template <std::size_t Rows>
  NEARLITE_INLINE static void step(Sum (&sums)[Rows][kGemmVectors], const std::byte* panel,
                                   const Source& source, const PackedGemm& weights, std::size_t k) {
    VecInt pairs[kGemmVectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) {
      pairs[v] = load_integers(panel + v * kLanes * sizeof(std::int32_t));
    }
#pragma GCC unroll 2
    for (std::size_t part = 0; part < 2; ++part) {
      Vec columns[kGemmVectors];
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kGemmVectors; ++v) {
        columns[v] = reinterpret_cast<Vec>(part == 0 ? pairs[v] << 16 : pairs[v] & kUpperHalf);
      }
#pragma GCC unroll 12
      for (std::size_t r = 0; r < Rows; ++r) {
        const Vec factor = splat(source[r * 2 * weights.steps + 2 * k + part]);
#pragma GCC unroll 4
        for (std::size_t v = 0; v < kGemmVectors; ++v) sums[r][v] += factor * columns[v];
      }
    }
  }
  NEARLITE_INLINE static Sum initial(const PackedGemm& weights, const Source&, std::size_t,
                                     std::size_t column) {
    return load(weights.bias + column);
  }
  NEARLITE_INLINE static Vec value(Sum sum, const Source&, const PackedGemm&, std::size_t,
                                   std::size_t) {
    return sum;
  }
};

/// Pairs of int16 or quads of int8 (one side of which has no sign), summed exactly in 32 bits.
template <typename Integer>
struct IntegerProduct {
  using Source = QuantizedRows<Integer>;
  using Sum = VecInt;
  static constexpr bool kHasOutliers = true;
  static constexpr std::size_t kGroup = sizeof(std::int32_t) / sizeof(Integer);
  static constexpr std::size_t kStepBytes = kPanelColumns * sizeof(std::int32_t);

  NEARLITE_INLINE static Source row(const Source& source, const PackedGemm&, std::size_t row) {
    Source moved = source;
    moved.values += row * source.stride;
    moved.scales += row;
    if (source.outliers != nullptr) {  // bytes
      moved.zeros += row;
      moved.outliers += row;
      moved.floats += row * source.num_floats;
    }
    return moved;
  }
  template <std::size_t Rows>
  NEARLITE_INLINE static void step(Sum (&sums)[Rows][kGemmVectors], const std::byte* panel,
                                   const Source& source, const PackedGemm&, std::size_t k) {
    VecInt columns[kGemmVectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) {
      columns[v] = load_integers(panel + v * kLanes * sizeof(std::int32_t));
    }
#pragma GCC unroll 12
    for (std::size_t r = 0; r < Rows; ++r) {
      const VecInt factors = splat_of(source.values + r * source.stride + kGroup * k);
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kGemmVectors; ++v) {
        if constexpr (sizeof(Integer) == 2) {
          add_word_products(sums[r][v], factors, columns[v]);
        } else {
          add_byte_products(sums[r][v], factors, columns[v]);
        }
      }
    }
  }
  NEARLITE_INLINE static Sum initial(const PackedGemm& weights, const Source& source,
                                     std::size_t row, std::size_t column) {
    if constexpr (sizeof(Integer) == 1) {
      return load_integers(weights.offsets + column) * -source.zeros[row];
    } else {
      return Sum{};
    }
  }
  NEARLITE_INLINE static Vec value(Sum sum, const Source& source, const PackedGemm& weights,
                                   std::size_t row, std::size_t column) {
    return __builtin_convertvector(sum, Vec) * load(weights.column_scales + column) *
               source.scales[row] +
           load(weights.bias + column);
  }
  /// What the outlier `which` of a row adds to the columns of a panel: its rest times its weights.
  NEARLITE_INLINE static void add_outlier(const PackedGemm& weights, std::size_t first,
                                          const Outliers& outliers, std::size_t which,
                                          Vec (&values)[kGemmVectors]) {
    const std::size_t input = outliers.inputs[which];
    const std::byte* step = static_cast<const std::byte*>(weights.panels) +
                            first / kPanelColumns * weights.steps * kStepBytes +
                            input / kGroup * kStepBytes;
    constexpr int kBits = 32 / static_cast<int>(kGroup);
    const int up = 32 - kBits * (static_cast<int>(input % kGroup) + 1);
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) {
      const VecInt group = load_integers(step + v * kLanes * sizeof(std::int32_t));
      values[v] += __builtin_convertvector((group << up) >> (32 - kBits), Vec) *
                   load(weights.column_scales + first + v * kLanes) * outliers.rests[which];
    }
  }
};

/// Adds what rounding left of the weights of a panel, to rows that are finished but for that.
template <typename Integer>
void add_weight_outliers(const PackedGemm& weights, std::size_t first, std::size_t rows,
                         const QuantizedRows<Integer>& source, float* target) noexcept {
  const std::size_t panel = first / kPanelColumns;
  for (std::uint32_t i = weights.outlier_ends[panel]; i < weights.outlier_ends[panel + 1]; ++i) {
    const WeightOutlier& outlier = weights.outliers[i];
    for (std::size_t r = 0; r < rows; ++r) {
      target[r * weights.out + outlier.column - first] +=
          source.floats[r * source.num_floats + outlier.input] * outlier.rest;
    }
  }
}

/// Some steps of the inner dimension: those that one pass over the rows takes.
struct Steps {
  std::size_t begin;
  std::size_t end;
  bool first;
  bool last;
};

/// How far ahead weights are asked for when each is read once: they come from beyond L2 then.
constexpr std::size_t kStreamAhead = 6 * 1024;

/// Sums wait in the memory of the result between one piece of the inner dimension and the next.
template <typename Sum>
NEARLITE_INLINE Sum waiting(const float* from) {
  Sum sum;
  __builtin_memcpy(&sum, from, sizeof sum);
  return sum;
}

/// Rows x kPanelColumns of the result, in registers while a piece of the inner dimension is
/// summed: one order of summation for every number of rows. Ahead: bytes, weights this far ahead
/// are asked for at each step, or 0.
template <typename Product, std::size_t Rows, std::size_t Ahead>
void gemm_tile(const PackedGemm& weights, std::size_t first, const Steps& steps,
               const typename Product::Source& source, float* target) noexcept {
  using Sum = typename Product::Sum;
  Sum sums[Rows][kGemmVectors];
#pragma GCC unroll 12
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) {
      sums[r][v] = steps.first ? Product::initial(weights, source, r, first + v * kLanes)
                               : waiting<Sum>(target + r * weights.out + v * kLanes);
    }
  }
  const std::byte* panel = static_cast<const std::byte*>(weights.panels) +
                           first / kPanelColumns * weights.steps * Product::kStepBytes;
  for (std::size_t k = steps.begin; k < steps.end; ++k) {
    if constexpr (Ahead > 0) {
#pragma GCC unroll 4
      for (std::size_t at = 0; at < Product::kStepBytes; at += 64) {
        __builtin_prefetch(panel + k * Product::kStepBytes + Ahead + at, 0, 3);
      }
    }
    Product::template step<Rows>(sums, panel + k * Product::kStepBytes, source, weights, k);
  }
  if (!steps.last) {
#pragma GCC unroll 12
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kGemmVectors; ++v) {
        __builtin_memcpy(target + r * weights.out + v * kLanes, &sums[r][v], sizeof(Sum));
      }
    }
    return;
  }
  const std::size_t columns =
      weights.out - first < kPanelColumns ? weights.out - first : kPanelColumns;
#pragma GCC unroll 12
  for (std::size_t r = 0; r < Rows; ++r) {
    Vec values[kGemmVectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) {
      values[v] = Product::value(sums[r][v], source, weights, r, first + v * kLanes);
    }
    if constexpr (Product::kHasOutliers) {
      for (std::size_t which = 0; source.outliers != nullptr && which < 2; ++which) {
        if (source.outliers[r].rests[which] != 0.0F) {
          Product::add_outlier(weights, first, source.outliers[r], which, values);
        }
      }
    }
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) {
      float* to = target + r * weights.out + v * kLanes;
      if ((v + 1) * kLanes <= columns) {
        store(to, values[v]);
      } else if (v * kLanes < columns) {
        store_part(to, values[v], columns - v * kLanes);
      }
    }
  }
  if constexpr (Product::kHasOutliers) {
    if (weights.outlier_ends != nullptr) add_weight_outliers(weights, first, Rows, source, target);
  }
  if (weights.epilogue != Epilogue::kNone) {  // while it is in L1
    activate_tile(weights.epilogue, target, Rows, weights.out, columns);
  }
}

template <typename Product, std::size_t Ahead, std::size_t Rows = kGemmRows>
NEARLITE_INLINE void gemm_tile_of(std::size_t rows, const PackedGemm& weights, std::size_t first,
                                  const Steps& steps, const typename Product::Source& source,
                                  float* target) {
  if constexpr (Rows > 0) {
    if (rows == Rows) {
      gemm_tile<Product, Rows, Ahead>(weights, first, steps, source, target);
    } else {
      gemm_tile_of<Product, Ahead, Rows - 1>(rows, weights, first, steps, source, target);
    }
  }
}

/// The part of a panel that stays in the L1 cache beside a few rows.
constexpr std::size_t kPieceBytes = 24 * 1024;
/// All rows of one piece of a panel before the next. The rows are cut into tiles of about equal
/// size, as two rows cost as much time as five.
template <typename Product>
void gemm_of(const PackedGemm& weights, std::size_t rows, const typename Product::Source& source,
             float* target) noexcept {
  const std::size_t num_tiles = (rows + kGemmRows - 1) / kGemmRows;
  const std::size_t panel_bytes = weights.steps * Product::kStepBytes;
  const std::byte* next_panel = static_cast<const std::byte*>(weights.panels);
  for (std::size_t first = 0; first < weights.out; first += kPanelColumns) {
    // Where sums cannot wait in the result, or there is nothing to gain, it is one piece.
    const bool whole = first + kPanelColumns > weights.out || num_tiles == 1;
    const std::size_t num_pieces = whole ? 1 : (panel_bytes + kPieceBytes - 1) / kPieceBytes;
    // The next panel comes from beyond L2: a part of it is asked for before each tile.
    next_panel += panel_bytes;
    const std::size_t ahead =
        first + kPanelColumns < weights.out ? panel_bytes / (num_tiles * num_pieces) : 0;
    for (std::size_t piece = 0; piece < num_pieces; ++piece) {
      const Steps steps{piece * weights.steps / num_pieces,
                        (piece + 1) * weights.steps / num_pieces, piece == 0,
                        piece + 1 == num_pieces};
      if (num_tiles == 1) {
        gemm_tile_of<Product, kStreamAhead>(rows, weights, first, steps, source, target + first);
        continue;
      }
      std::size_t row = 0;
      for (std::size_t tile = 0; tile < num_tiles; ++tile) {
        for (std::size_t at = 0; at < ahead; at += 64) {
          __builtin_prefetch(next_panel + (piece * num_tiles + tile) * ahead + at, 0, 2);
        }
        const std::size_t end = (tile + 1) * rows / num_tiles;
        gemm_tile_of<Product, 0>(end - row, weights, first, steps,
                                 Product::row(source, weights, row),
                                 target + row * weights.out + first);
        row = end;
      }
    }
  }
}

void gemm(const PackedGemm& weights, std::size_t rows, const float* source,
          float* target) noexcept {
  gemm_of<FloatProduct>(weights, rows, source, target);
}
void gemm_bfloat16(const PackedGemm& weights, std::size_t rows, const float* source,
                   float* target) noexcept {
  gemm_of<BfloatProduct>(weights, rows, source, target);
}
void gemm_words(const PackedGemm& weights, std::size_t rows,
                const QuantizedRows<std::int16_t>& source, float* target) noexcept {
  gemm_of<IntegerProduct<std::int16_t>>(weights, rows, source, target);
}
#if NEARLITE_KERNEL_BYTES
void gemm_bytes(const PackedGemm& weights, std::size_t rows,
                const QuantizedRows<std::uint8_t>& source, float* target) noexcept {
  gemm_of<IntegerProduct<std::uint8_t>>(weights, rows, source, target);
}
#else
constexpr decltype(Kernels::gemm_bytes) gemm_bytes = nullptr;
#endif

}  // namespace
}  // namespace nearlite
