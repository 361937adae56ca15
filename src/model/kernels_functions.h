// Exponentials and activations of vectors.
#pragma once

#include "kernels_vector.h"

namespace nearlite {
namespace {

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

/// 2^x for x <= 0 with a relative error of 3e-6; what is below 2^-100 becomes about that.
NEARLITE_INLINE Vec exp2_of_negative_short(Vec x) {
  x = larger(x, splat(-100.0F));
  const Vec shifted = x + kRoundToInteger;
  const Vec fraction = x - (shifted - kRoundToInteger);
  Vec power = splat(0.009570100344717503F);
  power = power * fraction + 0.05591785907745361F;
  power = power * fraction + 0.240247443318367F;
  power = power * fraction + 0.6931217908859253F;
  power = power * fraction + 0.9999992847442627F;
  return reinterpret_cast<Vec>(reinterpret_cast<VecInt>(power) +
                               (reinterpret_cast<VecInt>(shifted) << 23));
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

/// x * Phi(x) to 6e-5: enough where the result is rounded to 16 bits or fewer. Phi(x) is 0.5 + x
/// P(x^2) on [-4.25, 4.25], reaching 0 and 1 at its ends; weighted least squares with Lawson's
/// reweighting.
NEARLITE_INLINE Vec gelu_erf_short_of(Vec x) {
  const Vec z = larger(smaller(x, splat(4.25F)), splat(-4.25F));
  const Vec square = z * z;
  Vec sum = splat(5.597822205771763e-11F);
  sum = sum * square + -5.353910204064505e-09F;
  sum = sum * square + 2.2642426245056413e-07F;
  sum = sum * square + -5.642831183649832e-06F;
  sum = sum * square + 9.360129479318857e-05F;
  sum = sum * square + -0.0011097852839156985F;
  sum = sum * square + 0.00982066709548235F;
  sum = sum * square + -0.06635347008705139F;
  sum = sum * square + 0.3989083766937256F;
  return x * (z * sum + 0.5F);
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
void gelu_erf_short(float* values, std::size_t count) noexcept {
  for_each_vector(values, count, [](Vec x) { return gelu_erf_short_of(x); });
}
void gelu_tanh(float* values, std::size_t count) noexcept {
  for_each_vector(values, count, [](Vec x) { return gelu_tanh_of(x); });
}
void relu(float* values, std::size_t count) noexcept {
  for_each_vector(values, count, [](Vec x) { return relu_of(x); });
}

}  // namespace
}  // namespace nearlite
