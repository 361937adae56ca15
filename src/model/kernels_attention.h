// Attention of one head in single precision.
#pragma once

#include "kernels.h"
#include "kernels_functions.h"
#include "kernels_vector.h"

namespace nearlite {
namespace {

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

/// Keys across: keys[d][token], tokens behind the last zero.
NEARLITE_INLINE void pack_keys(const AttentionHead& head, std::size_t padded_tokens, float* keys) {
  for (std::size_t first = 0; first < padded_tokens; first += kLanes) {
    for (std::size_t d = 0; d < head.head_dim; d += kLanes) {
      Vec block[kLanes];
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kLanes; ++i) {
        block[i] =
            first + i < head.num_tokens
                ? load_at_most(head.key + (first + i) * head.qkv_stride + d, head.head_dim - d)
                : Vec{};
      }
      transpose(block);
      if (d + kLanes <= head.head_dim) {
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kLanes; ++i) {
          store(keys + (d + i) * padded_tokens + first, block[i]);
        }
      } else {
        for (std::size_t i = 0; d + i < head.head_dim; ++i) {
          store(keys + (d + i) * padded_tokens + first, block[i]);
        }
      }
    }
  }
}

void attention(const AttentionHead& head) noexcept {
  const std::size_t padded_tokens = (head.num_tokens + kLanes - 1) / kLanes * kLanes;
  const std::size_t padded_dim = (head.head_dim + kBlockLanes - 1) / kBlockLanes * kBlockLanes;
  float* keys = head.scratch;
  float* values = keys + head.head_dim * padded_tokens;
  float* weights = values + padded_tokens * padded_dim;
  pack_keys(head, padded_tokens, keys);
  for (std::size_t k = 0; k < head.num_tokens; ++k) {
    const float* value = head.value + k * head.qkv_stride;
    for (std::size_t d = 0; d < padded_dim; d += kLanes) {
      store(values + k * padded_dim + d,
            d < head.head_dim ? load_at_most(value + d, head.head_dim - d) : Vec{});
    }
  }
  const HeadBlocks blocks{keys, values, weights, padded_tokens, padded_dim};
  std::size_t row = 0;
  for (; row + kQueryRows <= head.num_tokens; row += kQueryRows) {
    attend_rows<kQueryRows>(head, blocks, row);
  }
  attend_rest<kQueryRows - 1>(head, blocks, row);
}

}  // namespace
}  // namespace nearlite
