#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "nearlite/model/precision.h"
#include "nearlite/model/weights.h"

namespace nearlite {

enum class Activation { kGeluErf, kGeluTanh, kRelu };

/// What config.json says of a transformer, checked against limits.
struct TransformerConfig {
  std::string architecture;  // "bert", "roberta", "xlm-roberta", "camembert", "mpnet", "distilbert"
  std::size_t num_layers = 0;
  std::size_t hidden = 0;        // floats per token
  std::size_t num_heads = 0;     // divides hidden
  std::size_t intermediate = 0;  // inner width of the feed-forward part
  std::size_t vocabulary = 0;
  std::size_t max_positions = 0;    // tokens of a text at most
  std::size_t num_token_types = 0;  // 0: there is no such table
  /// Positions are counted from the one behind this id, over all tokens but those that have it; its
  /// own position is theirs. Nothing: from 0, over all tokens.
  std::optional<std::int32_t> padding_id;
  std::size_t relative_buckets = 0;  // of distances between tokens, 0: attention ignores them
  float layer_norm_epsilon = 1e-12F;
  Activation activation = Activation::kGeluErf;
};

/// Reads config.json. Throws NotFound, or CorruptData for values out of their limits and, with
/// a list of what is supported, for an architecture or option that is not.
TransformerConfig read_transformer_config(const std::filesystem::path& config_json);

/// The token ids of several texts one behind the other, without padding.
struct PackedTokens {
  std::span<const std::int32_t> ids;  // all texts
  std::span<const std::uint32_t>
      boundaries;  // text t is ids[boundaries[t]] to ids[boundaries[t + 1]]
};

/// Where the processor time of forward() goes, in seconds.
struct StageSeconds {
  double embed = 0;
  double projections = 0;  // query, key and value, and the output of attention
  double attention = 0;    // scores, softmax and mixing
  double feed_forward = 0;
  double norm = 0;
};

/// Buffers of one thread, kept between calls so that none of them allocates. Used by one thread at
/// a time.
class TransformerWorkspace {
 public:
  TransformerWorkspace();
  ~TransformerWorkspace();
  TransformerWorkspace(const TransformerWorkspace&) = delete;
  TransformerWorkspace& operator=(const TransformerWorkspace&) = delete;

  /// From now on forward() adds the time of each stage to `seconds` (null: it does not measure).
  void measure(StageSeconds* seconds);

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// A transformer encoder in one precision. Immutable: forward() may be called from several threads,
/// each with its own workspace.
class Transformer {
 public:
  virtual ~Transformer() = default;

  /// The last layer's vector of every token, [ids.size(), hidden] row-major; valid until the next
  /// call with this workspace. A text's rows depend on its own ids only, bit for bit. Denormals are
  /// flushed to zero while it runs. Throws InvalidArgument for an id outside the vocabulary, a text
  /// longer than max_positions, or bad boundaries.
  virtual std::span<const float> forward(const PackedTokens& tokens,
                                         TransformerWorkspace& workspace) const = 0;
  virtual const TransformerConfig& config() const noexcept = 0;
};

/// Throws CorruptData that names the tensor that is missing, misshapen or not finite.
std::unique_ptr<const Transformer> load_transformer(const TransformerConfig& config,
                                                    std::shared_ptr<const Weights> weights,
                                                    Precision precision = Precision::kFp32);

}  // namespace nearlite
