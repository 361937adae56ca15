// The parts that transformer architectures are put together from. Each reads and writes the
// buffers of a workspace for all packed rows at once, and treats a row the same whatever the
// others are.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "linear.h"
#include "nearlite/model/transformer.h"
#include "workspace.h"

namespace nearlite {

/// Normalizes rows to mean 0 and variance 1, then scales and shifts them.
struct LayerNorm {
  std::vector<float> gamma;
  std::vector<float> beta;
  float epsilon = 1e-12F;

  /// state.hidden = norm(state.hidden + state.projected), row by row: "post-LN".
  void add_and_normalize(std::size_t rows, TransformerWorkspace::State& state) const;
};

/// Floats of our own, or of a mapped file that outlives the packing.
class FloatMatrix {
 public:
  FloatMatrix(std::vector<float> owned) : owned_(std::move(owned)) {}    // NOLINT: as a value
  FloatMatrix(std::span<const float> borrowed) : borrowed_(borrowed) {}  // NOLINT: as a value
  std::span<const float> values() const { return owned_.empty() ? borrowed_ : owned_; }

 private:
  std::vector<float> owned_;
  std::span<const float> borrowed_;
};

/// A Linear's weights before they are packed.
struct LinearWeights {
  FloatMatrix weights;      // [out, in]
  std::vector<float> bias;  // [out]
  WeightPart part(float scale = 1.0F) const { return {weights.values(), bias, scale}; }
};

/// How the weights of a model are packed, and where.
struct Packing {
  Precision precision = Precision::kFp32;
  std::shared_ptr<WeightMemory> memory = nullptr;
};

/// What attention adds for the distance between two tokens (MPNet, T5): a learned value per head
/// and bucket of distances.
class RelativeBias {
 public:
  /// table: [num_buckets, num_heads]; buckets are exact for short distances and logarithmic up to
  /// 128, half of them for tokens behind. num_buckets: even, at least 4.
  RelativeBias(std::span<const float> table, std::size_t num_heads, std::size_t max_tokens);

  /// For AttentionHead::bias: value(head)[key - query].
  const float* values(std::size_t head) const noexcept {
    return values_.data() + head * stride_ + max_tokens_ - 1;
  }

 private:
  std::size_t max_tokens_;
  std::size_t stride_;
  std::vector<float> values_;  // [num_heads, stride]
};

/// Multi-head attention of every token of a text to every other.
class SelfAttention {
 public:
  /// All three [hidden, hidden]; packed as one product, the query scaled by 1/sqrt(head_dim).
  SelfAttention(const LinearWeights& query, const LinearWeights& key, const LinearWeights& value,
                const LinearWeights& output, std::size_t num_heads, const Packing& packing);

  /// state.projected = attention of state.hidden. Overwrites state.wide and state.context.
  /// bias: of the distances, or nullptr.
  void run(const PackedTokens& tokens, TransformerWorkspace::State& state,
           const RelativeBias* bias = nullptr) const;

 private:
  void attend(const PackedTokens& tokens, TransformerWorkspace::State& state,
              const RelativeBias* bias) const;

  std::size_t hidden_;
  std::size_t num_heads_;
  bool in_words_;  // attention itself in int16
  Linear query_key_value_;
  Linear output_;
};

/// Two products with an activation between them.
class FeedForward {
 public:
  /// inner: [intermediate, hidden]; outer: [hidden, intermediate].
  FeedForward(const LinearWeights& inner, const LinearWeights& outer, Activation activation,
              const Packing& packing);

  /// state.projected = feed-forward of state.hidden. Overwrites state.wide.
  void run(std::size_t rows, TransformerWorkspace::State& state) const;

 private:
  Linear inner_;
  Linear outer_;
};

/// Throws InvalidArgument unless the boundaries cut the ids into texts of at most max_positions
/// tokens and every id is below `vocabulary`.
void check_tokens(const PackedTokens& tokens, std::size_t vocabulary, std::size_t max_positions);

}  // namespace nearlite
