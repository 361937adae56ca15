// The kernels, written once over a vector of NEARLITE_KERNEL_LANES floats. Included by one file per
// instruction set, which sets the register block sizes too. Everything has internal linkage and
// no function of the standard library is called: a function shared with other files could be linked
// in its AVX-512 form and run on a processor without it.
//
// The vectors are the compiler's own (GCC and Clang vector extensions); products and sums are
// contracted to fused multiply-adds where the instruction set has them.
#include <cstddef>
#include <cstdint>
#include <utility>  // index_sequence

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels.h"

namespace nearlite {
namespace {

constexpr std::size_t kLanes = NEARLITE_KERNEL_LANES;
using Vec = float __attribute__((vector_size(kLanes * sizeof(float))));
using VecInt = std::int32_t __attribute__((vector_size(kLanes * sizeof(float))));
using VecUnaligned =
    float __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias));

#define NEARLITE_INLINE inline __attribute__((always_inline))

NEARLITE_INLINE Vec load(const float* from) { return *reinterpret_cast<const VecUnaligned*>(from); }
NEARLITE_INLINE void store(float* to, Vec value) { *reinterpret_cast<VecUnaligned*>(to) = value; }
/// All lanes `value`. Minus, not plus: x - 0 is x for every x, x + 0 is not for -0, and would be
/// computed.
NEARLITE_INLINE Vec splat(float value) { return value - Vec{}; }
NEARLITE_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }
NEARLITE_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
NEARLITE_INLINE Vec magnitude(Vec a) {
  return reinterpret_cast<Vec>(reinterpret_cast<VecInt>(a) & 0x7fffffff);
}

constexpr std::int32_t kUpperHalf = -65536;  // 0xffff0000

NEARLITE_INLINE VecInt load_integers(const std::byte* from) {
  VecInt value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

/// Adds to each lane the sum of the products of two pairs of int16.
NEARLITE_INLINE void add_word_products(VecInt& sums, VecInt a, VecInt b) {
#if NEARLITE_KERNEL_VNNI
  // Not the intrinsic: GCC 12 moves its accumulators between registers and the stack.
  asm("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
#elif NEARLITE_KERNEL_LANES == 16
  sums += reinterpret_cast<VecInt>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif NEARLITE_KERNEL_LANES == 8
  sums += reinterpret_cast<VecInt>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__x86_64__)
  sums += reinterpret_cast<VecInt>(
      _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  sums += (a >> 16) * (b >> 16) + ((a << 16) >> 16) * ((b << 16) >> 16);
#endif
}

#if NEARLITE_KERNEL_VNNI
/// Adds to each lane the sum of the products of four uint8 of `a` and four int8 of `b`.
NEARLITE_INLINE void add_byte_products(VecInt& sums, VecInt a, VecInt b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
}
#endif

template <std::size_t... Lane>
NEARLITE_INLINE VecInt lane_numbers(std::index_sequence<Lane...>) {
  return VecInt{static_cast<std::int32_t>(Lane)...};
}

/// Lane i holds what lane i ^ Distance held.
template <std::size_t Distance, std::size_t... Lane>
NEARLITE_INLINE Vec exchanged(Vec value, std::index_sequence<Lane...>) {
  return __builtin_shufflevector(value, value, (Lane ^ Distance)...);
}

/// All lanes folded into one, in a fixed order, without a way through memory.
template <std::size_t Distance = kLanes / 2, typename Fold>
NEARLITE_INLINE float folded(Vec value, Fold fold) {
  value = fold(value, exchanged<Distance>(value, std::make_index_sequence<kLanes>()));
  if constexpr (Distance > 1) {
    return folded<Distance / 2>(value, fold);
  } else {
    return value[0];
  }
}
NEARLITE_INLINE float sum_lanes(Vec value) {
  return folded(value, [](Vec a, Vec b) { return a + b; });
}
NEARLITE_INLINE float largest_lane(Vec value) { return folded(value, larger); }

/// The first `count` floats, the other lanes `fill`.
NEARLITE_INLINE Vec load_part(const float* from, std::size_t count, float fill) {
  float lanes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = i < count ? from[i] : fill;
  return load(lanes);
}

NEARLITE_INLINE void store_part(float* to, Vec value, std::size_t count) {
  float lanes[kLanes];
  store(lanes, value);
  for (std::size_t i = 0; i < count; ++i) to[i] = lanes[i];
}

/// 2^(whole + fraction) for fraction in [-0.5, 0.5] and shifted = whole + 1.5 * 2^23 (so that the
/// low bits of its pattern are the integer). Relative error 2e-9 before rounding.
NEARLITE_INLINE Vec exp2_of_parts(Vec shifted, Vec fraction) {
  Vec power = splat(0.00015345742576755583F);
  power = power * fraction + 0.0013399928575381637F;
  power = power * fraction + 0.009618489071726799F;
  power = power * fraction + 0.05550328642129898F;
  power = power * fraction + 0.24022646248340607F;
  power = power * fraction + 0.6931471824645996F;
  power = power * fraction + 1.0F;
  const VecInt exponent = (reinterpret_cast<VecInt>(shifted) + 127) << 23;
  return power * reinterpret_cast<Vec>(exponent);
}

constexpr float kRoundToInteger =
    12582912.0F;  // 1.5 * 2^23: adding it leaves no bits for a fraction

/// e^x for x <= 0; what is below 2^-126 becomes about that.
NEARLITE_INLINE Vec exp_of_negative(Vec x) {
  constexpr float kLog2E = 1.44269502162933349609375F;
  constexpr float kLog2ERest = 1.92596299112661746887e-8F;  // log2(e) - kLog2E
  x = larger(x, splat(-87.0F));
  const Vec shifted = x * kLog2E + kRoundToInteger;
  const Vec whole = shifted - kRoundToInteger;
  const Vec fraction = (x * kLog2E - whole) + x * kLog2ERest;
  return exp2_of_parts(shifted, fraction);
}

/// 2^-y for y in [0, 120].
NEARLITE_INLINE Vec exp2_of_minus(Vec y) {
  const Vec shifted = kRoundToInteger - y;
  const Vec fraction = (kRoundToInteger - shifted) - y;
  return exp2_of_parts(shifted, fraction);
}

/// x * Phi(x). The polynomial is -log2(Phi(-z)) on [0, 6], fitted so that the error of z * Phi(-z)
/// is at most 8e-9 (weighted least squares on Chebyshev polynomials, Lawson's reweighting); beyond
/// 6 the value is below 6e-9.
NEARLITE_INLINE Vec gelu_erf_of(Vec x) {
  const Vec z = smaller(magnitude(x), splat(6.0F));
  Vec bits = splat(1.800285758690734e-06F);
  bits = bits * z + -2.663585837581195e-05F;
  bits = bits * z + 0.00012340497050900012F;
  bits = bits * z + 0.00029616462416015565F;
  bits = bits * z + -0.007286258041858673F;
  bits = bits * z + 0.05266717076301575F;
  bits = bits * z + 0.4591412842273712F;
  bits = bits * z + 1.1511163711547852F;
  bits = bits * z + 0.9999995231628418F;
  const Vec tail = exp2_of_minus(bits);
  return x * (x < splat(0.0F) ? tail : 1.0F - tail);
}

/// 0.5 x (1 + tanh(u)) = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
NEARLITE_INLINE Vec gelu_tanh_of(Vec x) {
  const Vec u2 = x * (x * x * 0.0713548162726009F + 1.5957691216057308F);
  const Vec small = exp_of_negative(-magnitude(u2));  // e^-|2u|
  const Vec sigmoid_of_magnitude = 1.0F / (1.0F + small);
  return x * (u2 < splat(0.0F) ? small * sigmoid_of_magnitude : sigmoid_of_magnitude);
}

NEARLITE_INLINE Vec relu_of(Vec x) { return larger(x, splat(0.0F)); }

template <typename Function>
NEARLITE_INLINE void for_each_vector(float* values, std::size_t count, Function function) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(values + i, function(load(values + i)));
  if (i < count) {
    store_part(values + i, function(load_part(values + i, count - i, 0.0F)), count - i);
  }
}

void gelu_erf(float* values, std::size_t count) noexcept {
  for_each_vector(values, count, [](Vec x) { return gelu_erf_of(x); });
}
void gelu_tanh(float* values, std::size_t count) noexcept {
  for_each_vector(values, count, [](Vec x) { return gelu_tanh_of(x); });
}
void relu(float* values, std::size_t count) noexcept {
  for_each_vector(values, count, [](Vec x) { return relu_of(x); });
}

/// Two sums that run beside each other: one alone would wait for each addition to end.
struct TwoSums {
  Vec parts[2] = {};
  NEARLITE_INLINE void add(std::size_t at, Vec value) { parts[at / kLanes % 2] += value; }
  NEARLITE_INLINE float total() const { return sum_lanes(parts[0] + parts[1]); }
};

void add_layer_norm(float* target, const float* added, const float* gamma, const float* beta,
                    float epsilon, std::size_t rows, std::size_t dim) noexcept {
  const std::size_t whole = dim / kLanes * kLanes;
  const std::size_t rest = dim - whole;
  for (std::size_t row = 0; row < rows; ++row) {
    float* x = target + row * dim;
    const float* y = added + row * dim;
    TwoSums sum;
#pragma GCC unroll 2
    for (std::size_t i = 0; i < whole; i += kLanes) {
      const Vec value = load(x + i) + load(y + i);
      store(x + i, value);
      sum.add(i, value);
    }
    for (std::size_t i = whole; i < dim; ++i) x[i] += y[i];
    if (rest > 0) sum.add(0, load_part(x + whole, rest, 0.0F));
    const float mean = sum.total() / static_cast<float>(dim);
    TwoSums squares;
#pragma GCC unroll 2
    for (std::size_t i = 0; i < whole; i += kLanes) {
      const Vec deviation = load(x + i) - mean;
      squares.add(i, deviation * deviation);
    }
    if (rest > 0) {
      const Vec deviation = load_part(x + whole, rest, mean) - mean;
      squares.add(0, deviation * deviation);
    }
    const float variance = squares.total() / static_cast<float>(dim);
    const float scale = 1.0F / __builtin_sqrtf(variance + epsilon);
    for (std::size_t i = 0; i < whole; i += kLanes) {
      store(x + i, (load(x + i) - mean) * scale * load(gamma + i) + load(beta + i));
    }
    for (std::size_t i = whole; i < dim; ++i) x[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
  }
}

// ---- matrix product

constexpr std::size_t kGemmRows = NEARLITE_GEMM_ROWS;
constexpr std::size_t kGemmVectors = NEARLITE_GEMM_VECTORS;
constexpr std::size_t kPanelColumns = kGemmVectors * kLanes;

NEARLITE_INLINE void activate_tile(Epilogue epilogue, float* tile, std::size_t rows,
                                   std::size_t stride, std::size_t columns) {
  if (epilogue == Epilogue::kNone) return;
  for (std::size_t r = 0; r < rows; ++r, tile += stride) {
    switch (epilogue) {
      case Epilogue::kGeluErf:
        gelu_erf(tile, columns);
        break;
      case Epilogue::kGeluTanh:
        gelu_tanh(tile, columns);
        break;
      case Epilogue::kRelu:
        relu(tile, columns);
        break;
      case Epilogue::kNone:
        break;
    }
  }
}

/// Float weights, one input per step.
struct FloatProduct {
  using Source = const float*;
  using Sum = Vec;
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
  NEARLITE_INLINE static Vec value(Sum sum, const Source&, const PackedGemm&, std::size_t,
                                   std::size_t) {
    return sum;
  }
};

/// Pairs of bfloat16, widened as they are read.
struct BfloatProduct {
  using Source = const float*;
  using Sum = Vec;
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
  static constexpr std::size_t kGroup = sizeof(std::int32_t) / sizeof(Integer);
  static constexpr std::size_t kStepBytes = kPanelColumns * sizeof(std::int32_t);

  NEARLITE_INLINE static Source row(const Source& source, const PackedGemm&, std::size_t row) {
    return {source.values + row * source.stride, source.scales + row, source.stride};
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
      std::int32_t group;
      __builtin_memcpy(&group, source.values + r * source.stride + kGroup * k, sizeof group);
      const VecInt factors = group - VecInt{};
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
  NEARLITE_INLINE static Vec value(Sum sum, const Source& source, const PackedGemm& weights,
                                   std::size_t row, std::size_t column) {
    if constexpr (sizeof(Integer) == 1) {
      sum -= load_integers(reinterpret_cast<const std::byte*>(weights.offsets + column));
    }
    return __builtin_convertvector(sum, Vec) * load(weights.column_scales + column) *
           source.scales[row];
  }
};

/// Rows x kPanelColumns of the result, kept in registers over the whole inner dimension: one order
/// of summation for every number of rows.
template <typename Product, std::size_t Rows>
void gemm_tile(const PackedGemm& weights, std::size_t first, const typename Product::Source& source,
               float* target) noexcept {
  typename Product::Sum sums[Rows][kGemmVectors] = {};
  const std::byte* panel = static_cast<const std::byte*>(weights.panels) +
                           first / kPanelColumns * weights.steps * Product::kStepBytes;
  for (std::size_t k = 0; k < weights.steps; ++k) {
    Product::template step<Rows>(sums, panel + k * Product::kStepBytes, source, weights, k);
  }
  const std::size_t columns =
      weights.out - first < kPanelColumns ? weights.out - first : kPanelColumns;
#pragma GCC unroll 12
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kGemmVectors; ++v) {
      const std::size_t column = first + v * kLanes;
      const Vec value =
          Product::value(sums[r][v], source, weights, r, column) + load(weights.bias + column);
      float* to = target + r * weights.out + v * kLanes;
      if ((v + 1) * kLanes <= columns) {
        store(to, value);
      } else if (v * kLanes < columns) {
        store_part(to, value, columns - v * kLanes);
      }
    }
  }
  activate_tile(weights.epilogue, target, Rows, weights.out, columns);  // while it is in L1
}

template <typename Product, std::size_t Rows>
NEARLITE_INLINE void gemm_tile_of(std::size_t rows, const PackedGemm& weights, std::size_t first,
                                  const typename Product::Source& source, float* target) {
  if constexpr (Rows > 0) {
    if (rows == Rows) {
      gemm_tile<Product, Rows>(weights, first, source, target);
    } else {
      gemm_tile_of<Product, Rows - 1>(rows, weights, first, source, target);
    }
  }
}

/// All rows of one panel before the next: a panel of 384 inputs stays in L1. The rows are cut into
/// pieces of about equal size, as two rows cost as much time as five.
template <typename Product>
void gemm_of(const PackedGemm& weights, std::size_t rows, const typename Product::Source& source,
             float* target) noexcept {
  const std::size_t num_tiles = (rows + kGemmRows - 1) / kGemmRows;
  const std::size_t panel_bytes = weights.steps * Product::kStepBytes;
  const std::byte* next_panel = static_cast<const std::byte*>(weights.panels);
  for (std::size_t first = 0; first < weights.out; first += kPanelColumns) {
    // The next panel comes from beyond L2: a piece of it is asked for before each tile.
    next_panel += panel_bytes;
    const std::size_t piece = first + kPanelColumns < weights.out ? panel_bytes / num_tiles : 0;
    std::size_t row = 0;
    for (std::size_t tile = 0; tile < num_tiles; ++tile) {
      for (std::size_t at = 0; at < piece; at += 64) {
        __builtin_prefetch(next_panel + tile * piece + at, 0, 2);
      }
      const std::size_t end = (tile + 1) * rows / num_tiles;
      gemm_tile_of<Product, kGemmRows>(end - row, weights, first,
                                       Product::row(source, weights, row),
                                       target + row * weights.out + first);
      row = end;
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
#if NEARLITE_KERNEL_VNNI
void gemm_bytes(const PackedGemm& weights, std::size_t rows,
                const QuantizedRows<std::uint8_t>& source, float* target) noexcept {
  gemm_of<IntegerProduct<std::uint8_t>>(weights, rows, source, target);
}
#else
constexpr decltype(Kernels::gemm_bytes) gemm_bytes = nullptr;
#endif

// ---- rounding of rows

void round_to_bfloat16(const float* source, std::size_t rows, std::size_t in, float* target,
                       std::size_t stride) noexcept {
  for (std::size_t row = 0; row < rows; ++row, source += in, target += stride) {
    const auto rounded = [](Vec x) {
      const VecInt bits = reinterpret_cast<VecInt>(x);
      // Half a unit of the last place that stays, less one bit where that place is even.
      return reinterpret_cast<Vec>((bits + 0x7fff + ((bits >> 16) & 1)) & kUpperHalf);
    };
    std::size_t i = 0;
    for (; i + kLanes <= in; i += kLanes) store(target + i, rounded(load(source + i)));
    if (i < in) store_part(target + i, rounded(load_part(source + i, in - i, 0.0F)), in - i);
    for (i = in; i < stride; ++i) target[i] = 0.0F;
  }
}

/// What a row is multiplied with so that neither its largest magnitude nor its length passes the
/// limits; 0 for a row of zeros.
NEARLITE_INLINE float factor_of_row(const float* row, std::size_t in, float largest, float length) {
  Vec magnitudes[2] = {};
  TwoSums squares;
  const std::size_t whole = in / kLanes * kLanes;
#pragma GCC unroll 2
  for (std::size_t i = 0; i < whole; i += kLanes) {
    const Vec x = load(row + i);
    magnitudes[i / kLanes % 2] = larger(magnitudes[i / kLanes % 2], magnitude(x));
    squares.add(i, x * x);
  }
  if (whole < in) {
    const Vec x = load_part(row + whole, in - whole, 0.0F);
    magnitudes[0] = larger(magnitudes[0], magnitude(x));
    squares.add(0, x * x);
  }
  const float found = largest_lane(larger(magnitudes[0], magnitudes[1]));
  if (!(found > 1e-30F)) return 0.0F;
  float factor = largest / found;
  if (length > 0) {
    const float by_length = length / __builtin_sqrtf(squares.total());
    if (by_length < factor) factor = by_length;
  }
  return factor;
}

/// The nearest integer in the low bits of each lane: the sum has no bits for a fraction.
NEARLITE_INLINE VecInt rounded_integers(Vec x) {
  return reinterpret_cast<VecInt>(x + kRoundToInteger);
}

template <typename Integer>
struct NarrowLanes;
template <>
struct NarrowLanes<std::int16_t> {
  using Type = std::int16_t __attribute__((vector_size(kLanes * sizeof(std::int16_t))));
};
template <>
struct NarrowLanes<std::uint8_t> {
  using Type = std::uint8_t __attribute__((vector_size(kLanes)));
};

template <typename Integer>
NEARLITE_INLINE void quantize_rows(const float* source, std::size_t rows, std::size_t in,
                                   float largest, float length,
                                   const QuantizedRows<Integer>& target) {
  using Narrow = NarrowLanes<Integer>::Type;
  constexpr std::int32_t kOffset = sizeof(Integer) == 1 ? 128 : 0;
  for (std::size_t row = 0; row < rows; ++row, source += in) {
    Integer* to = target.values + row * target.stride;
    const float factor = factor_of_row(source, in, largest, length);
    target.scales[row] = factor > 0 ? 1.0F / factor : 0.0F;
    std::size_t i = 0;
    for (; i + kLanes <= in; i += kLanes) {
      const VecInt wide = rounded_integers(load(source + i) * factor) + kOffset;
      const Narrow narrow = __builtin_convertvector(wide, Narrow);
      __builtin_memcpy(to + i, &narrow, sizeof narrow);
    }
    if (i < in) {
      const VecInt wide = rounded_integers(load_part(source + i, in - i, 0.0F) * factor) + kOffset;
      const Narrow narrow = __builtin_convertvector(wide, Narrow);
      __builtin_memcpy(to + i, &narrow, (in - i) * sizeof(Integer));
    }
    for (i = in; i < target.stride; ++i) to[i] = static_cast<Integer>(kOffset);
  }
}

void quantize_words(const float* source, std::size_t rows, std::size_t in, float largest,
                    float length, const QuantizedRows<std::int16_t>& target) noexcept {
  quantize_rows(source, rows, in, largest, length, target);
}
void quantize_bytes(const float* source, std::size_t rows, std::size_t in,
                    const QuantizedRows<std::uint8_t>& target) noexcept {
  quantize_rows(source, rows, in, 127.0F, 0.0F, target);
}

// ---- attention
// ------------------------------------------------------------------------------------------------------

constexpr std::size_t kQueryRows = NEARLITE_ATTENTION_ROWS;
constexpr std::size_t kBlockVectors = NEARLITE_ATTENTION_VECTORS;
constexpr std::size_t kBlockLanes = kBlockVectors * kLanes;

/// What all query rows of a head share: keys transposed and values padded, so that the inner loops
/// read whole vectors.
struct HeadBlocks {
  const float* keys;    // [head_dim][padded_tokens]
  const float* values;  // [num_tokens][padded_dim]
  float* weights;       // [kQueryRows][padded_tokens]
  std::size_t padded_tokens;
  std::size_t padded_dim;
};

constexpr float kNoScore = -1e30F;  // of a key that is not there: e^kNoScore is nothing beside e^0

/// Scores of some query rows with Vectors * kLanes keys from `first` on; `largest` keeps the
/// maximum of each lane.
template <std::size_t Rows, std::size_t Vectors>
NEARLITE_INLINE void scores_of_block(const AttentionHead& head, const HeadBlocks& blocks,
                                     const float* query, std::size_t first, Vec* largest) {
  Vec sums[Rows][Vectors] = {};
  for (std::size_t d = 0; d < head.head_dim; ++d) {
    Vec keys[Vectors];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vectors; ++v) {
      keys[v] = load(blocks.keys + d * blocks.padded_tokens + first + v * kLanes);
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      const Vec factor = splat(query[r * head.qkv_stride + d]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] += factor * keys[v];
    }
  }
  if (head.bias != nullptr) {
    const auto row = static_cast<std::size_t>(query - head.query) / head.qkv_stride;
    const float* bias =
        head.bias + static_cast<std::ptrdiff_t>(first) - static_cast<std::ptrdiff_t>(row);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Vectors; ++v) {
        sums[r][v] +=
            load(bias + static_cast<std::ptrdiff_t>(v * kLanes) - static_cast<std::ptrdiff_t>(r));
      }
    }
  }
  if (first + Vectors * kLanes > head.num_tokens) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vectors; ++v) {
      const auto left = static_cast<std::int32_t>(head.num_tokens) -
                        static_cast<std::int32_t>(first + v * kLanes);
      const VecInt is_key = lane_numbers(std::make_index_sequence<kLanes>()) < left;
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) sums[r][v] = is_key ? sums[r][v] : splat(kNoScore);
    }
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vectors; ++v) {
      largest[r] = larger(largest[r], sums[r][v]);
      store(blocks.weights + r * blocks.padded_tokens + first + v * kLanes, sums[r][v]);
    }
  }
}

template <std::size_t Rows>
NEARLITE_INLINE void scores_of_rows(const AttentionHead& head, const HeadBlocks& blocks,
                                    const float* query, Vec* largest) {
  for (std::size_t r = 0; r < Rows; ++r) largest[r] = splat(kNoScore);
  std::size_t first = 0;
  for (; first + kBlockLanes <= blocks.padded_tokens; first += kBlockLanes) {
    scores_of_block<Rows, kBlockVectors>(head, blocks, query, first, largest);
  }
  for (; first < blocks.padded_tokens; first += kLanes) {
    scores_of_block<Rows, 1>(head, blocks, query, first, largest);
  }
}

/// Turns one row of scores into weights that are not yet divided by their sum, which is returned.
NEARLITE_INLINE float softmax_row(float* scores, Vec largest, std::size_t padded_tokens) {
  const float maximum = largest_lane(largest);
  Vec sum{};
  for (std::size_t i = 0; i < padded_tokens; i += kLanes) {
    const Vec weight = exp_of_negative(load(scores + i) - maximum);
    store(scores + i, weight);
    sum += weight;
  }
  return sum_lanes(sum);
}

template <std::size_t Rows>
NEARLITE_INLINE void mix_values(const AttentionHead& head, const HeadBlocks& blocks,
                                const float* scale, float* output) {
  for (std::size_t first = 0; first < blocks.padded_dim; first += kBlockLanes) {
    Vec sums[Rows][kBlockVectors] = {};
    for (std::size_t k = 0; k < head.num_tokens; ++k) {
      Vec values[kBlockVectors];
#pragma GCC unroll 2
      for (std::size_t v = 0; v < kBlockVectors; ++v) {
        values[v] = load(blocks.values + k * blocks.padded_dim + first + v * kLanes);
      }
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) {
        const Vec factor = splat(blocks.weights[r * blocks.padded_tokens + k]);
#pragma GCC unroll 2
        for (std::size_t v = 0; v < kBlockVectors; ++v) sums[r][v] += factor * values[v];
      }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (std::size_t v = 0; v < kBlockVectors; ++v) {
        const std::size_t at = first + v * kLanes;
        if (at >= head.head_dim) continue;
        float* to = output + r * head.output_stride + at;
        const Vec value = sums[r][v] * scale[r];
        if (at + kLanes <= head.head_dim) {
          store(to, value);
        } else {
          store_part(to, value, head.head_dim - at);
        }
      }
    }
  }
}

template <std::size_t Rows>
void attend_rows(const AttentionHead& head, const HeadBlocks& blocks, std::size_t row) noexcept {
  Vec largest[Rows];
  scores_of_rows<Rows>(head, blocks, head.query + row * head.qkv_stride, largest);
  float scale[Rows];
  for (std::size_t r = 0; r < Rows; ++r) {
    scale[r] = 1.0F / softmax_row(blocks.weights + r * blocks.padded_tokens, largest[r],
                                  blocks.padded_tokens);
  }
  mix_values<Rows>(head, blocks, scale, head.output + row * head.output_stride);
}

/// The last rows, fewer than kQueryRows, in one piece.
template <std::size_t Rows>
void attend_rest(const AttentionHead& head, const HeadBlocks& blocks, std::size_t row) noexcept {
  if constexpr (Rows > 0) {
    if (head.num_tokens - row == Rows) {
      attend_rows<Rows>(head, blocks, row);
    } else {
      attend_rest<Rows - 1>(head, blocks, row);
    }
  }
}

void attention(const AttentionHead& head) noexcept {
  const std::size_t padded_tokens = (head.num_tokens + kLanes - 1) / kLanes * kLanes;
  const std::size_t padded_dim = (head.head_dim + kBlockLanes - 1) / kBlockLanes * kBlockLanes;
  float* keys = head.scratch;
  float* values = keys + head.head_dim * padded_tokens;
  float* weights = values + padded_tokens * padded_dim;
  for (std::size_t k = 0; k < head.num_tokens; ++k) {
    const float* key = head.key + k * head.qkv_stride;
    const float* value = head.value + k * head.qkv_stride;
    for (std::size_t d = 0; d < head.head_dim; ++d) keys[d * padded_tokens + k] = key[d];
    for (std::size_t d = 0; d < head.head_dim; ++d) values[k * padded_dim + d] = value[d];
    for (std::size_t d = head.head_dim; d < padded_dim; ++d) values[k * padded_dim + d] = 0.0F;
  }
  for (std::size_t d = 0; d < head.head_dim; ++d) {
    for (std::size_t k = head.num_tokens; k < padded_tokens; ++k) {
      keys[d * padded_tokens + k] = 0.0F;
    }
  }
  const HeadBlocks blocks{keys, values, weights, padded_tokens, padded_dim};
  std::size_t row = 0;
  for (; row + kQueryRows <= head.num_tokens; row += kQueryRows) {
    attend_rows<kQueryRows>(head, blocks, row);
  }
  attend_rest<kQueryRows - 1>(head, blocks, row);
}

constexpr Kernels make_kernels(const char* name) {
  return {.name = name,
          .panel_columns = kPanelColumns,
          .gemm = gemm,
          .gemm_bfloat16 = gemm_bfloat16,
          .gemm_words = gemm_words,
          .gemm_bytes = gemm_bytes,
          .round_to_bfloat16 = round_to_bfloat16,
          .quantize_words = quantize_words,
          .quantize_bytes = quantize_bytes,
          .gelu_erf = gelu_erf,
          .gelu_tanh = gelu_tanh,
          .relu = relu,
          .add_layer_norm = add_layer_norm,
          .attention = attention};
}

}  // namespace
}  // namespace nearlite
