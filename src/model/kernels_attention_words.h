// Attention of one head with both products in int16. Each head's queries, keys and values are
// scaled by their largest magnitude so that no sum passes 2^31. A lane of 32 bits holds two
// integers that stand kLanes apart (dimensions of queries and keys, tokens of values and weights):
// so a pair comes from two registers without moving anything across lanes.
#pragma once

#include "kernels.h"
#include "kernels_attention.h"
#include "kernels_functions.h"
#include "kernels_vector.h"

namespace nearlite {
namespace {

constexpr float kLargestSum = 2147483647.0F * 0.99F;
constexpr float kLargestValue = 8191.0F;
constexpr float kLargestWeight = 32'767.0F;

NEARLITE_INLINE VecInt word_pairs(Vec low, Vec high) {
  return (rounded_integers(low) & 0xffff) | (rounded_integers(high) << 16);
}

/// A head as integers.
struct WordBlocks {
  const std::int32_t* queries;  // [num_tokens][padded_dim / 2] pairs
  const std::int32_t* keys;     // [padded_dim / 2][padded_tokens] pairs
  const std::int32_t* values;   // [padded_tokens / 2][padded_dim] pairs
  float* scores;                // [kQueryRows][padded_tokens]
  std::int32_t* weights;        // [kQueryRows][padded_tokens / 2] pairs
  std::size_t padded_tokens;    // multiples of 2 kLanes
  std::size_t padded_dim;
  float score_unit;  // of a product of a query and a key, as an exponent of 2
  float value_unit;
};

/// Bounds of the rows of a head: of a single value, and of a row's Euclidean length (that of the
/// row of the largest magnitudes of each dimension: outliers sit in the same dimensions of all
/// tokens).
struct HeadBounds {
  float magnitude;
  float length;
};

NEARLITE_INLINE HeadBounds bounds_of_head(const AttentionHead& head, const float* rows) {
  Vec over_all{};
  Vec squares{};
  for (std::size_t d = 0; d < head.head_dim; d += kLanes) {
    Vec first{}, second{};
    std::size_t t = 0;
    for (; t + 2 <= head.num_tokens; t += 2) {
      const float* row = rows + t * head.qkv_stride + d;
      first = larger(first, magnitude(load_at_most(row, head.head_dim - d)));
      second = larger(second, magnitude(load_at_most(row + head.qkv_stride, head.head_dim - d)));
    }
    if (t < head.num_tokens) {
      first =
          larger(first, magnitude(load_at_most(rows + t * head.qkv_stride + d, head.head_dim - d)));
    }
    first = larger(first, second);
    over_all = larger(over_all, first);
    squares += first * first;
  }
  return {largest_lane(over_all), __builtin_sqrtf(sum_lanes(squares))};
}

/// What to multiply with so that `largest` becomes `limit`; 0 for a head of zeros.
NEARLITE_INLINE float factor_of(float limit, float largest) {
  return largest > 1e-30F ? limit / largest : 0.0F;
}
/// For queries and keys: no product of two rows passes 2^31 (Cauchy and Schwarz).
NEARLITE_INLINE float factor_of(const HeadBounds& bounds) {
  constexpr float kRowLength = 46'000.0F;
  const float by_length = factor_of(kRowLength, bounds.length);
  const float by_magnitude = factor_of(kLargestWeight, bounds.magnitude);
  return by_length < by_magnitude ? by_length : by_magnitude;
}
NEARLITE_INLINE float unit_of(float factor) { return factor > 0.0F ? 1.0F / factor : 0.0F; }

/// Dimensions d to d + 2 kLanes of a row as pairs, zeros behind the head.
NEARLITE_INLINE VecInt pairs_of_row(const AttentionHead& head, const float* row, std::size_t d,
                                    float factor) {
  const std::size_t left = head.head_dim - d;
  const Vec low = load_at_most(row + d, left);
  const Vec high = left > kLanes ? load_at_most(row + d + kLanes, left - kLanes) : Vec{};
  return word_pairs(low * factor, high * factor);
}

NEARLITE_INLINE void pack_query_words(const AttentionHead& head, std::size_t padded_dim,
                                      float factor, std::int32_t* to) {
  const float* row = head.query;
  for (std::size_t t = 0; t < head.num_tokens; ++t, row += head.qkv_stride) {
    for (std::size_t d = 0; d < padded_dim; d += 2 * kLanes, to += kLanes) {
      store_integers(to, pairs_of_row(head, row, d, factor));
    }
  }
}

NEARLITE_INLINE void pack_key_words(const AttentionHead& head, std::size_t padded_tokens,
                                    std::size_t padded_dim, float factor, std::int32_t* to) {
  for (std::size_t first = 0; first < head.num_tokens; first += kLanes) {
    for (std::size_t d = 0; d < padded_dim; d += 2 * kLanes) {
      VecInt block[kLanes];
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kLanes; ++i) {
        block[i] = first + i < head.num_tokens
                       ? pairs_of_row(head, head.key + (first + i) * head.qkv_stride, d, factor)
                       : VecInt{};
      }
      transpose(block);
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kLanes; ++i) {
        store_integers(to + (d / 2 + i) * padded_tokens + first, block[i]);
      }
    }
  }
}

NEARLITE_INLINE void pack_value_words(const AttentionHead& head, std::size_t padded_dim,
                                      float factor, std::int32_t* to) {
  for (std::size_t first = 0; first < head.num_tokens; first += 2 * kLanes) {
    for (std::size_t i = 0; i < kLanes && first + i < head.num_tokens; ++i) {
      const float* low = head.value + (first + i) * head.qkv_stride;
      const float* high =
          first + i + kLanes < head.num_tokens ? low + kLanes * head.qkv_stride : nullptr;
      for (std::size_t d = 0; d < padded_dim; d += kLanes) {
        const bool inside = d < head.head_dim;
        const Vec a = inside ? load_at_most(low + d, head.head_dim - d) : Vec{};
        const Vec b = inside && high != nullptr ? load_at_most(high + d, head.head_dim - d) : Vec{};
        store_integers(to + (first / 2 + i) * padded_dim + d, word_pairs(a * factor, b * factor));
      }
    }
  }
}

/// Scores of some query rows with Vectors * kLanes keys from `first` on, as exponents of 2.
template <std::size_t Rows, std::size_t Vectors>
NEARLITE_INLINE void word_scores_of_block(const AttentionHead& head, const WordBlocks& blocks,
                                          std::size_t row, std::size_t first, Vec* largest) {
  VecInt sums[Rows][Vectors] = {};
  const std::size_t pairs = blocks.padded_dim / 2;
  const std::int32_t* queries = blocks.queries + row * pairs;
  for (std::size_t d = 0; d < pairs; ++d) {
    VecInt keys[Vectors];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Vectors; ++v) {
      keys[v] = load_integers(blocks.keys + d * blocks.padded_tokens + first + v * kLanes);
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      const VecInt factor = splat_of(queries + r * pairs + d);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Vectors; ++v) add_word_products(sums[r][v], factor, keys[v]);
    }
  }
  constexpr float kLog2E = 1.44269504F;
#pragma GCC unroll 2
  for (std::size_t v = 0; v < Vectors; ++v) {
    const std::size_t key = first + v * kLanes;
    const VecInt is_key = lane_numbers(std::make_index_sequence<kLanes>()) <
                          static_cast<std::int32_t>(head.num_tokens - key);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      Vec score = __builtin_convertvector(sums[r][v], Vec) * blocks.score_unit;
      if (head.bias != nullptr) {
        const auto distance =
            static_cast<std::ptrdiff_t>(key) - static_cast<std::ptrdiff_t>(row + r);
        score += load(head.bias + distance) * kLog2E;
      }
      if (key + kLanes > head.num_tokens) score = is_key ? score : splat(kNoScore);
      largest[r] = larger(largest[r], score);
      store(blocks.scores + r * blocks.padded_tokens + key, score);
    }
  }
}

template <std::size_t Rows>
NEARLITE_INLINE void word_scores(const AttentionHead& head, const WordBlocks& blocks,
                                 std::size_t row, Vec* largest) {
  for (std::size_t r = 0; r < Rows; ++r) largest[r] = splat(kNoScore);
  std::size_t first = 0;
  for (; first + kLanes < head.num_tokens; first += 2 * kLanes) {
    word_scores_of_block<Rows, 2>(head, blocks, row, first, largest);
  }
  if (first < head.num_tokens) {  // the partners of the last keys are none
    word_scores_of_block<Rows, 1>(head, blocks, row, first, largest);
    for (std::size_t r = 0; r < Rows; ++r) {
      store(blocks.scores + r * blocks.padded_tokens + first + kLanes, splat(kNoScore));
    }
  }
}

/// One number per query row: all rows are folded at once, which takes a third of the time.
struct PerRow {
  float of[kLanes];
};
template <std::size_t Rows, typename Fold>
NEARLITE_INLINE Vec folded_per_row(const Vec* rows, Fold fold) {
  Vec all[kQueryRows];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kQueryRows; ++r) all[r] = rows[r < Rows ? r : 0];
  return folded_groups<kQueryRows>(folded_rows<kQueryRows>(all, fold), fold);
}
NEARLITE_INLINE Vec sum_of(Vec a, Vec b) { return a + b; }

/// Turns one row of scores into weights that are not yet divided by their sum, which is returned.
NEARLITE_INLINE Vec word_exponentials(float* scores, std::size_t padded_tokens, float maximum) {
  Vec first{}, second{};
  for (std::size_t i = 0; i < padded_tokens; i += 2 * kLanes) {
    const Vec low = exp2_of_negative_short(load(scores + i) - maximum);
    const Vec high = exp2_of_negative_short(load(scores + i + kLanes) - maximum);
    store(scores + i, low);
    store(scores + i + kLanes, high);
    first += low;
    second += high;
  }
  return first + second;
}

/// Rounds the weights of one row to pairs of integers; returns their sum.
NEARLITE_INLINE Vec round_weights(const float* scores, std::size_t padded_tokens, float factor,
                                  std::int32_t* weights) {
  VecInt total{};
  const VecInt ones = 0x00010001 - VecInt{};
  for (std::size_t i = 0; i < padded_tokens; i += 2 * kLanes, weights += kLanes) {
    const VecInt pairs = word_pairs(load(scores + i) * factor, load(scores + i + kLanes) * factor);
    store_integers(weights, pairs);
    add_word_products(total, pairs, ones);
  }
  return __builtin_convertvector(total, Vec);
}

/// Turns rows of scores into pairs of weights; returns what one unit of each mixture is worth.
template <std::size_t Rows>
NEARLITE_INLINE PerRow word_softmax(const WordBlocks& blocks, const Vec* largest) {
  const std::size_t tokens = blocks.padded_tokens;
  PerRow number;
  store(number.of, folded_per_row<Rows>(largest, larger));
  Vec sums[Rows];
  for (std::size_t r = 0; r < Rows; ++r) {
    sums[r] = word_exponentials(blocks.scores + r * tokens, tokens, number.of[r]);
  }
  // Rounding may add half a unit to each weight.
  const float most = kLargestSum / kLargestValue - 0.5F * static_cast<float>(tokens);
  store(number.of, smaller(most / folded_per_row<Rows>(sums, sum_of), splat(kLargestWeight)));
  for (std::size_t r = 0; r < Rows; ++r) {
    sums[r] = round_weights(blocks.scores + r * tokens, tokens, number.of[r],
                            blocks.weights + r * (tokens / 2));
  }
  // What they sum to after rounding: so that many equal ones are not all off to one side.
  store(number.of, blocks.value_unit / folded_per_row<Rows>(sums, sum_of));
  return number;
}

template <std::size_t Rows>
NEARLITE_INLINE void mix_value_words(const AttentionHead& head, const WordBlocks& blocks,
                                     const float* scale, float* output) {
  const std::size_t tail = head.num_tokens % (2 * kLanes);
  const std::size_t pairs =
      head.num_tokens / (2 * kLanes) * kLanes + (tail < kLanes ? tail : kLanes);
  for (std::size_t first = 0; first < head.head_dim; first += 2 * kLanes) {
    VecInt sums[Rows][2] = {};
    for (std::size_t k = 0; k < pairs; ++k) {
      const std::int32_t* from = blocks.values + k * blocks.padded_dim + first;
      const VecInt values[2] = {load_integers(from), load_integers(from + kLanes)};
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) {
        const VecInt factor = splat_of(blocks.weights + r * (blocks.padded_tokens / 2) + k);
        add_word_products(sums[r][0], factor, values[0]);
        add_word_products(sums[r][1], factor, values[1]);
      }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (std::size_t v = 0; v < 2; ++v) {
        const std::size_t at = first + v * kLanes;
        if (at >= head.head_dim) continue;
        float* to = output + r * head.output_stride + at;
        const Vec value = __builtin_convertvector(sums[r][v], Vec) * scale[r];
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
void attend_word_rows(const AttentionHead& head, const WordBlocks& blocks,
                      std::size_t row) noexcept {
  Vec largest[Rows];
  word_scores<Rows>(head, blocks, row, largest);
  const PerRow scale = word_softmax<Rows>(blocks, largest);
  mix_value_words<Rows>(head, blocks, scale.of, head.output + row * head.output_stride);
}

template <std::size_t Rows>
void attend_word_rest(const AttentionHead& head, const WordBlocks& blocks,
                      std::size_t row) noexcept {
  if constexpr (Rows > 0) {
    if (head.num_tokens - row == Rows) {
      attend_word_rows<Rows>(head, blocks, row);
    } else {
      attend_word_rest<Rows - 1>(head, blocks, row);
    }
  }
}

void attention_words(const AttentionHead& head) noexcept {
  constexpr std::size_t kBoth = 2 * kLanes;
  const std::size_t padded_tokens = (head.num_tokens + kBoth - 1) / kBoth * kBoth;
  const std::size_t padded_dim = (head.head_dim + kBoth - 1) / kBoth * kBoth;
  auto* queries = reinterpret_cast<std::int32_t*>(head.scratch);
  std::int32_t* keys = queries + padded_tokens * padded_dim / 2;
  std::int32_t* values = keys + padded_tokens * padded_dim / 2;
  std::int32_t* weights = values + padded_tokens * padded_dim / 2;
  auto* scores = reinterpret_cast<float*>(weights + kQueryRows * padded_tokens / 2);
  const float query_factor = factor_of(bounds_of_head(head, head.query));
  const float key_factor = factor_of(bounds_of_head(head, head.key));
  const float value_factor = factor_of(kLargestValue, bounds_of_head(head, head.value).magnitude);
  pack_query_words(head, padded_dim, query_factor, queries);
  pack_key_words(head, padded_tokens, padded_dim, key_factor, keys);
  pack_value_words(head, padded_dim, value_factor, values);
  const WordBlocks blocks{queries,
                          keys,
                          values,
                          scores,
                          weights,
                          padded_tokens,
                          padded_dim,
                          unit_of(query_factor) * unit_of(key_factor) * 1.44269504F,
                          unit_of(value_factor)};
  std::size_t row = 0;
  for (; row + kQueryRows <= head.num_tokens; row += kQueryRows) {
    attend_word_rows<kQueryRows>(head, blocks, row);
  }
  attend_word_rest<kQueryRows - 1>(head, blocks, row);
}

}  // namespace
}  // namespace nearlite
