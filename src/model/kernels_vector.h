// Vectors of NEARLITE_KERNEL_LANES floats and integers, for the kernels. They are the compiler's
// own (GCC and Clang vector extensions); products and sums are contracted to fused multiply-adds
// where the instruction set has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>  // index_sequence

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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
/// The second where the two cannot be compared.
#if defined(__AVX__)
// GCC makes two instructions of the comparison, and warns about its own intrinsic.
NEARLITE_INLINE Vec larger(Vec a, Vec b) {
  Vec result;
  asm("vmaxps %2, %1, %0" : "=v"(result) : "v"(a), "v"(b));
  return result;
}
NEARLITE_INLINE Vec smaller(Vec a, Vec b) {
  Vec result;
  asm("vminps %2, %1, %0" : "=v"(result) : "v"(a), "v"(b));
  return result;
}
#else
NEARLITE_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }
NEARLITE_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
#endif
NEARLITE_INLINE Vec magnitude(Vec a) {
  return reinterpret_cast<Vec>(reinterpret_cast<VecInt>(a) & 0x7fffffff);
}

/// Adding it leaves no bits for a fraction: the low bits of the sum's pattern are the integer.
constexpr float kRoundToInteger = 12582912.0F;  // 1.5 * 2^23

/// The nearest integer in the low bits of each lane.
NEARLITE_INLINE VecInt rounded_integers(Vec x) {
  return reinterpret_cast<VecInt>(x + kRoundToInteger);
}

constexpr std::int32_t kUpperHalf = -65536;  // 0xffff0000

NEARLITE_INLINE VecInt load_integers(const void* from) {
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

/// Whether there are products of bytes at all.
#define NEARLITE_KERNEL_BYTES (NEARLITE_KERNEL_LANES >= 8)

#if NEARLITE_KERNEL_BYTES
/// Adds to each lane the sum of the products of four uint8 of `a` and four int8 of `b`. Without
/// VNNI two neighbouring products are summed in 16 bits first and must not pass 32,767: see
/// kLargestBytePair.
NEARLITE_INLINE void add_byte_products(VecInt& sums, VecInt a, VecInt b) {
#if NEARLITE_KERNEL_VNNI
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
#elif NEARLITE_KERNEL_LANES == 16
  sums += reinterpret_cast<VecInt>(_mm512_madd_epi16(
      _mm512_maddubs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)),
      _mm512_set1_epi16(1)));
#else
  sums += reinterpret_cast<VecInt>(_mm256_madd_epi16(
      _mm256_maddubs_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)),
      _mm256_set1_epi16(1)));
#endif
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

/// All lanes the 32 bits at `from`.
NEARLITE_INLINE VecInt splat_of(const void* from) {
  std::int32_t value;
  __builtin_memcpy(&value, from, sizeof value);
  return value - VecInt{};
}
NEARLITE_INLINE void store_integers(void* to, VecInt value) {
  __builtin_memcpy(to, &value, sizeof value);
}

/// a[0], b[0], a[1], b[1] and so on from the lower (or upper) halves of both.
template <std::size_t Half, typename Value, std::size_t... Lane>
NEARLITE_INLINE Value interleaved(Value a, Value b, std::index_sequence<Lane...>) {
  return __builtin_shufflevector(a, b, (Half * kLanes / 2 + Lane / 2 + Lane % 2 * kLanes)...);
}

/// rows[i][j] becomes rows[j][i]: each pass turns the bits of the place (row, lane) left by one.
template <typename Value>
NEARLITE_INLINE void transpose(Value (&rows)[kLanes]) {
  constexpr auto kLaneNumbers = std::make_index_sequence<kLanes>();
#pragma GCC unroll 4
  for (std::size_t pass = 1; pass < kLanes; pass *= 2) {
    Value turned[kLanes];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kLanes / 2; ++i) {
      turned[2 * i] = interleaved<0>(rows[i], rows[i + kLanes / 2], kLaneNumbers);
      turned[2 * i + 1] = interleaved<1>(rows[i], rows[i + kLanes / 2], kLaneNumbers);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kLanes; ++i) rows[i] = turned[i];
  }
}

/// Each of `Rows` vectors folded into one lane: lane r of the result, and every lane Rows further,
/// is that of row r. Rows: a power of two. Overwrites `rows`.
template <std::size_t Rows, typename Fold>
NEARLITE_INLINE Vec folded_rows(Vec* rows, Fold fold) {
  constexpr auto kLaneNumbers = std::make_index_sequence<kLanes>();
  if constexpr (Rows > 1) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < Rows / 2; ++i) {
      const Vec low = interleaved<0>(rows[i], rows[i + Rows / 2], kLaneNumbers);
      const Vec high = interleaved<1>(rows[i], rows[i + Rows / 2], kLaneNumbers);
      rows[i] = fold(low, high);
    }
    return folded_rows<Rows / 2>(rows, fold);
  } else {
    return rows[0];
  }
}

/// The lanes that hold the same row folded, after folded_rows of `Rows` of them.
template <std::size_t Rows, std::size_t Distance = kLanes / 2, typename Fold>
NEARLITE_INLINE Vec folded_groups(Vec value, Fold fold) {
  if constexpr (Distance >= Rows) {
    value = fold(value, exchanged<Distance>(value, std::make_index_sequence<kLanes>()));
    return folded_groups<Rows, Distance / 2>(value, fold);
  }
  return value;
}

/// The first `count` floats, the other lanes `fill`.
NEARLITE_INLINE Vec load_part(const float* from, std::size_t count, float fill) {
  float lanes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = i < count ? from[i] : fill;
  return load(lanes);
}

/// All lanes, or the first `count` and zeros where there are fewer.
NEARLITE_INLINE Vec load_at_most(const float* from, std::size_t count) {
  return count >= kLanes ? load(from) : load_part(from, count, 0.0F);
}

NEARLITE_INLINE void store_part(float* to, Vec value, std::size_t count) {
  float lanes[kLanes];
  store(lanes, value);
  for (std::size_t i = 0; i < count; ++i) to[i] = lanes[i];
}

}  // namespace
}  // namespace nearlite
