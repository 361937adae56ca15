// What is done to whole rows: normalizing them, and rounding them for a product.
#pragma once

#include <type_traits>

#include "kernels.h"
#include "kernels_vector.h"

namespace nearlite {
namespace {

/// The sum of function(i) for i = 0, kLanes, 2 kLanes and so on below `whole`, in four sums that
/// run beside one another: one alone would wait for each addition to end.
template <typename Function>
NEARLITE_INLINE Vec summed(std::size_t whole, Function function) {
  Vec first{}, second{}, third{}, fourth{};
  std::size_t i = 0;
  for (; i + 4 * kLanes <= whole; i += 4 * kLanes) {
    first += function(i);
    second += function(i + kLanes);
    third += function(i + 2 * kLanes);
    fourth += function(i + 3 * kLanes);
  }
  for (; i < whole; i += kLanes) first += function(i);
  return (first + second) + (third + fourth);
}

/// The largest of function(i), in the same way; function: not below zero.
template <typename Function>
NEARLITE_INLINE Vec largest_of(std::size_t whole, Function function) {
  Vec first{}, second{};
  std::size_t i = 0;
  for (; i + 2 * kLanes <= whole; i += 2 * kLanes) {
    first = larger(first, function(i));
    second = larger(second, function(i + kLanes));
  }
  if (i < whole) first = larger(first, function(i));
  return larger(first, second);
}

void add_layer_norm(float* target, const float* added, const float* gamma, const float* beta,
                    float epsilon, std::size_t rows, std::size_t dim) noexcept {
  const std::size_t whole = dim / kLanes * kLanes;
  const std::size_t rest = dim - whole;
  for (std::size_t row = 0; row < rows; ++row) {
    float* x = target + row * dim;
    const float* y = added + row * dim;
    Vec sum = summed(whole, [&](std::size_t i) {
      const Vec value = load(x + i) + load(y + i);
      store(x + i, value);
      return value;
    });
    for (std::size_t i = whole; i < dim; ++i) x[i] += y[i];
    if (rest > 0) sum += load_part(x + whole, rest, 0.0F);
    const float mean = sum_lanes(sum) / static_cast<float>(dim);
    Vec squares = summed(whole, [&](std::size_t i) {
      const Vec deviation = load(x + i) - mean;
      return deviation * deviation;
    });
    if (rest > 0) {
      const Vec deviation = load_part(x + whole, rest, mean) - mean;
      squares += deviation * deviation;
    }
    const float variance = sum_lanes(squares) / static_cast<float>(dim);
    const float scale = 1.0F / __builtin_sqrtf(variance + epsilon);
    for (std::size_t i = 0; i < whole; i += kLanes) {
      store(x + i, (load(x + i) - mean) * scale * load(gamma + i) + load(beta + i));
    }
    for (std::size_t i = whole; i < dim; ++i) x[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
  }
}
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
/// limits (length 0: none); 0 for a row of zeros.
NEARLITE_INLINE float factor_of_row(const float* row, std::size_t in, float largest, float length) {
  const std::size_t whole = in / kLanes * kLanes;
  const Vec rest = load_part(row + whole, in - whole, 0.0F);
  const Vec magnitudes = largest_of(whole, [&](std::size_t i) { return magnitude(load(row + i)); });
  const float found = largest_lane(larger(magnitudes, magnitude(rest)));
  if (!(found > 1e-30F)) return 0.0F;
  const float factor = largest / found;
  if (length == 0.0F) return factor;
  const Vec squares = summed(whole, [&](std::size_t i) {
    const Vec x = load(row + i);
    return x * x;
  });
  const float by_length = length / __builtin_sqrtf(sum_lanes(squares + rest * rest));
  return by_length < factor ? by_length : factor;
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

/// What integers are cut to before they are rounded.
struct Bounds {
  float least;
  float greatest;
};
struct NoBounds {};

/// Multiplies a row, cuts it to the bounds, rounds it, adds `offset`, and fills it up with that.
template <typename Limits, typename Integer>
NEARLITE_INLINE void round_row(const float* source, std::size_t in, float factor, Limits bounds,
                               std::int32_t offset, Integer* to, std::size_t stride) {
  using Narrow = typename NarrowLanes<Integer>::Type;
  const auto integers = [&](Vec x) {
    x *= factor;
    if constexpr (std::is_same_v<Limits, Bounds>) {
      x = smaller(larger(x, splat(bounds.least)), splat(bounds.greatest));
    }
    return rounded_integers(x) + offset;
  };
  std::size_t i = 0;
  for (; i + kLanes <= in; i += kLanes) {
    const VecInt wide = integers(load(source + i));
    const Narrow narrow = __builtin_convertvector(wide, Narrow);
    __builtin_memcpy(to + i, &narrow, sizeof narrow);
  }
  if (i < in) {
    const VecInt wide = integers(load_part(source + i, in - i, 0.0F));
    const Narrow narrow = __builtin_convertvector(wide, Narrow);
    __builtin_memcpy(to + i, &narrow, (in - i) * sizeof(Integer));
  }
  for (i = in; i < stride; ++i) to[i] = static_cast<Integer>(offset);
}

void quantize_words(const float* source, std::size_t rows, std::size_t in, float largest,
                    float length, const QuantizedRows<std::int16_t>& target) noexcept {
  for (std::size_t row = 0; row < rows; ++row, source += in) {
    const float factor = factor_of_row(source, in, largest, length);
    target.scales[row] = factor > 0 ? 1.0F / factor : 0.0F;
    round_row(source, in, factor, NoBounds{}, 0, target.values + row * target.stride,
              target.stride);
  }
}

/// The largest and the second largest of what it was shown, lane by lane.
struct TopTwo {
  Vec first{};
  Vec second{};
  NEARLITE_INLINE void show(Vec x) {
    second = larger(second, smaller(first, x));
    first = larger(first, x);
  }
  /// Of all lanes together.
  template <std::size_t Distance = kLanes / 2>
  NEARLITE_INLINE void fold() {
    constexpr auto kLaneNumbers = std::make_index_sequence<kLanes>();
    const Vec others = exchanged<Distance>(second, kLaneNumbers);
    show(exchanged<Distance>(first, kLaneNumbers));
    second = larger(second, others);
    if constexpr (Distance > 1) fold<Distance / 2>();
  }
};

/// Where `value` stands in a row.
NEARLITE_INLINE std::uint32_t place_of(float value, const float* row, std::size_t in) {
  constexpr std::size_t kBlock = 8 * kLanes;
  std::size_t i = 0;
  for (; i + kBlock <= in; i += kBlock) {
    VecInt any{};
#pragma GCC unroll 8
    for (std::size_t at = 0; at < kBlock; at += kLanes) any |= load(row + i + at) == splat(value);
    constexpr std::int32_t kOne = 0x3f800000;  // 1.0F
    if (sum_lanes(reinterpret_cast<Vec>(any & kOne)) > 0) break;
  }
  while (i < in && row[i] != value) ++i;
  return static_cast<std::uint32_t>(i);
}

/// `value` stands at `input` of a row and was cut to `code` units.
NEARLITE_INLINE void put_rest(Outliers& outliers, std::size_t which, std::uint32_t input,
                              float value, float code, float unit) {
  outliers.inputs[which] = input;
  outliers.rests[which] = value - code * unit;
}

/// What a column of weights is multiplied with so that none passes 127 and no two that are
/// neighbours (from an even place on) together pass kLargestBytePair, rounding included.
struct WeightRange {
  float factor;
  float limit;      // weights of a larger magnitude are cut to it
  float magnitude;  // of the outlier; 0: there is none
};

NEARLITE_INLINE WeightRange range_of_weights(const float* column, std::size_t in) {
  constexpr auto kLaneNumbers = std::make_index_sequence<kLanes>();
  const std::size_t whole = in / kLanes * kLanes;
  const Vec rest = magnitude(load_part(column + whole, in - whole, 0.0F));
  TopTwo largest;
  for (std::size_t i = 0; i < whole; i += kLanes) largest.show(magnitude(load(column + i)));
  largest.show(rest);
  largest.fold();
  const float first = largest.first[0];
  const float second = largest.second[0];
  if (!(first > 1e-30F)) return {0.0F, 0.0F, 0.0F};
  const bool is_outlier = first > kOutlierWeight * second;
  const float limit = is_outlier ? second : first;
  if (!(limit > 1e-30F)) return {0.0F, 0.0F, first};
  Vec pairs{};
  const auto look_at = [&](Vec magnitudes) {
    const Vec cut = smaller(magnitudes, splat(limit));
    pairs = larger(pairs, cut + exchanged<1>(cut, kLaneNumbers));
  };
  for (std::size_t i = 0; i < whole; i += kLanes) look_at(magnitude(load(column + i)));
  look_at(rest);
  const float by_one = 127.0F / limit;
  const float by_two = (kLargestBytePair - 1.0F) / largest_lane(pairs);
  return {by_one < by_two ? by_one : by_two, limit, is_outlier ? first : 0.0F};
}

template <typename Integer>
NEARLITE_INLINE void quantize_weights(const float* source, std::size_t rows, std::size_t in,
                                      const QuantizedRows<Integer>& target) {
  for (std::size_t row = 0; row < rows; ++row, source += in) {
    const WeightRange range = range_of_weights(source, in);
    const float unit = range.factor > 0 ? 1.0F / range.factor : 0.0F;
    // A whole number, so that the cut weight is what the rest was taken from.
    const float most =
        static_cast<float>(static_cast<std::int32_t>(range.limit * range.factor + 0.5F));
    target.scales[row] = unit;
    target.outliers[row] = {};
    round_row(source, in, range.factor, Bounds{-most, most}, 0, target.values + row * target.stride,
              target.stride);
    if (range.magnitude > 0) {
      std::uint32_t input = place_of(range.magnitude, source, in);
      if (input == in) input = place_of(-range.magnitude, source, in);
      const float value = source[input];
      put_rest(target.outliers[row], 0, input, value, value > 0 ? most : -most, unit);
    }
  }
}

void quantize_weight_bytes(const float* source, std::size_t rows, std::size_t in,
                           const QuantizedRows<std::uint8_t>& target) noexcept {
  quantize_weights(source, rows, in, target);
}
void quantize_weight_words(const float* source, std::size_t rows, std::size_t in,
                           const QuantizedRows<std::int16_t>& target) noexcept {
  quantize_weights(source, rows, in, target);
}

/// Steps of a row from its least to its greatest value: 0 to 254.
constexpr float kByteSteps = 254.0F;

/// What a row is multiplied with so that it spans kByteSteps, what its zero becomes then, and its
/// outliers (0: there is none).
struct ByteRange {
  float factor;
  std::int32_t zero;
  float above;
  float below;
};

NEARLITE_INLINE ByteRange range_of_row(const float* row, std::size_t in) {
  const std::size_t whole = in / kLanes * kLanes;
  const Vec rest = load_part(row + whole, in - whole, 0.0F);
  TopTwo high, low;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    const Vec x = load(row + i);
    high.show(x);
    low.show(-x);
  }
  high.show(rest);
  low.show(-rest);
  high.fold();
  low.fold();
  const bool is_above = high.first[0] > kOutlierInput * high.second[0];
  const bool is_below = low.first[0] > kOutlierInput * low.second[0];
  ByteRange range{0.0F, 0, is_above ? high.first[0] : 0.0F, is_below ? low.first[0] : 0.0F};
  const float above = is_above ? high.second[0] : high.first[0];
  const float below = is_below ? low.second[0] : low.first[0];
  if (!(above + below > 1e-30F)) return range;
  range.factor = kByteSteps / (above + below);
  range.zero = static_cast<std::int32_t>(below * range.factor + 0.5F);
  return range;
}

template <typename Integer>
NEARLITE_INLINE void quantize_range(const float* source, std::size_t rows, std::size_t in,
                                    const QuantizedRows<Integer>& target) {
  for (std::size_t row = 0; row < rows; ++row, source += in) {
    const ByteRange range = range_of_row(source, in);
    const float unit = range.factor > 0 ? 1.0F / range.factor : 0.0F;
    const float least = static_cast<float>(-range.zero);
    const float greatest = range.factor > 0 ? kByteSteps + least : 0.0F;
    target.scales[row] = unit;
    target.zeros[row] = range.zero;
    round_row(source, in, range.factor, Bounds{least, greatest},
              sizeof(Integer) == 1 ? range.zero : 0, target.values + row * target.stride,
              target.stride);
    Outliers& outliers = target.outliers[row] = {};
    if (range.above > 0) {
      put_rest(outliers, 0, place_of(range.above, source, in), range.above, greatest, unit);
    }
    if (range.below > 0) {
      put_rest(outliers, 1, place_of(-range.below, source, in), -range.below, least, unit);
    }
  }
}

void quantize_range_bytes(const float* source, std::size_t rows, std::size_t in,
                          const QuantizedRows<std::uint8_t>& target) noexcept {
  quantize_range(source, rows, in, target);
}
void quantize_range_words(const float* source, std::size_t rows, std::size_t in,
                          const QuantizedRows<std::int16_t>& target) noexcept {
  quantize_range(source, rows, in, target);
}

}  // namespace
}  // namespace nearlite
