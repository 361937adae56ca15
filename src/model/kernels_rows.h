// What is done to whole rows: normalizing them, and rounding them for a product.
#pragma once

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

/// Multiplies a row, rounds it, adds `offset`, and fills it up with that.
template <typename Integer>
NEARLITE_INLINE void round_row(const float* source, std::size_t in, float factor,
                               std::int32_t offset, Integer* to, std::size_t stride) {
  using Narrow = typename NarrowLanes<Integer>::Type;
  std::size_t i = 0;
  for (; i + kLanes <= in; i += kLanes) {
    const VecInt wide = rounded_integers(load(source + i) * factor) + offset;
    const Narrow narrow = __builtin_convertvector(wide, Narrow);
    __builtin_memcpy(to + i, &narrow, sizeof narrow);
  }
  if (i < in) {
    const VecInt wide = rounded_integers(load_part(source + i, in - i, 0.0F) * factor) + offset;
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
    round_row(source, in, factor, 0, target.values + row * target.stride, target.stride);
  }
}

void quantize_bytes(const float* source, std::size_t rows, std::size_t in,
                    const QuantizedRows<std::uint8_t>& target) noexcept {
  for (std::size_t row = 0; row < rows; ++row, source += in) {
    const float factor = factor_of_row(source, in, 127.0F, 0.0F);
    target.scales[row] = factor > 0 ? 1.0F / factor : 0.0F;
    target.zeros[row] = 128;
    round_row(source, in, factor, 128, target.values + row * target.stride, target.stride);
  }
}

/// Steps of a row from its least to its greatest value: 0 to 254, and one more as both ends are
/// rounded.
constexpr float kByteSteps = 254.0F;

/// What a row is multiplied with so that it spans kByteSteps, and what its zero becomes then.
struct ByteRange {
  float factor;
  std::int32_t zero;
};

NEARLITE_INLINE ByteRange range_of_row(const float* row, std::size_t in) {
  const std::size_t whole = in / kLanes * kLanes;
  const Vec rest = load_part(row + whole, in - whole, 0.0F);
  const Vec high = largest_of(whole, [&](std::size_t i) { return load(row + i); });
  const Vec low = largest_of(whole, [&](std::size_t i) { return -load(row + i); });
  const float above = largest_lane(larger(high, rest));
  const float below = largest_lane(larger(low, -rest));
  if (!(above + below > 1e-30F)) return {0.0F, 0};
  const float factor = kByteSteps / (above + below);
  return {factor, static_cast<std::int32_t>(below * factor + 0.5F)};
}

template <typename Integer>
NEARLITE_INLINE void quantize_range(const float* source, std::size_t rows, std::size_t in,
                                    const QuantizedRows<Integer>& target) {
  for (std::size_t row = 0; row < rows; ++row, source += in) {
    const ByteRange range = range_of_row(source, in);
    target.scales[row] = range.factor > 0 ? 1.0F / range.factor : 0.0F;
    target.zeros[row] = range.zero;
    round_row(source, in, range.factor, sizeof(Integer) == 1 ? range.zero : 0,
              target.values + row * target.stride, target.stride);
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
