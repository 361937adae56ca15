#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace nearlite {

/// How token vectors become one vector, as sentence-transformers names it.
enum class PoolingMode { kCls, kMax, kMean, kMeanSqrtLen, kWeightedMean, kLastToken };

struct PoolingConfig {
  std::vector<PoolingMode> modes;  // their results are concatenated in this order
  bool include_prompt = true;      // false: the tokens of a prompt are not pooled
};

enum class DenseActivation { kIdentity, kTanh, kRelu, kGelu, kSigmoid, kSilu };

struct DenseConfig {
  std::filesystem::path folder;
  std::size_t in = 0;
  std::size_t out = 0;
  bool bias = true;
  bool residual = false;
  DenseActivation activation = DenseActivation::kTanh;
};

/// Reads 1_Pooling/config.json in its old spelling (booleans) or new one (a name or a list). Throws
/// NotFound, or CorruptData, also for a mode that is not known. dim: floats per token,
/// which the file repeats.
PoolingConfig read_pooling_config(const std::filesystem::path& config_json, std::size_t dim);
/// Reads 2_Dense/config.json. Throws NotFound, or CorruptData, also for an activation that is
/// not known.
DenseConfig read_dense_config(const std::filesystem::path& folder);

/// "mean", "cls+max": for messages and `model info`.
std::string pooling_name(const PoolingConfig& config);
std::string activation_name(DenseActivation activation);

/// Pools one text. hidden: [num_tokens, dim] row-major, at least one token; the first `skip` tokens
/// are left out. target: [modes * dim]. All zero if nothing is left. Sums are kept in double
/// precision.
void pool(const PoolingConfig& config, std::span<const float> hidden, std::size_t dim,
          std::size_t skip, std::span<float> target);

/// The weights of a Dense module. Immutable.
class DenseModule {
 public:
  /// Reads model.safetensors of config.folder. Throws NotFound or CorruptData.
  explicit DenseModule(const DenseConfig& config);
  /// input: [in]; returns [out].
  std::vector<float> apply(std::span<const float> input) const;

 private:
  DenseConfig config_;
  std::vector<float> weights_;   // [in, out]: the transpose of what the file holds
  std::vector<float> bias_;      // [out]
  std::vector<float> residual_;  // [in, out], only if in and out differ
};

struct LayerNormConfig {
  std::filesystem::path folder;
  std::size_t dim = 0;
};
/// Reads config.json of a LayerNorm module. Throws NotFound or CorruptData.
LayerNormConfig read_layer_norm_config(const std::filesystem::path& folder);

/// Scales a vector to mean 0 and variance 1, then by weights. Immutable.
class LayerNormModule {
 public:
  /// Reads model.safetensors of config.folder. Throws NotFound or CorruptData.
  explicit LayerNormModule(const LayerNormConfig& config);
  /// vector: [dim].
  void apply(std::span<float> vector) const;

 private:
  std::vector<float> gamma_;
  std::vector<float> beta_;
};

/// Scales to length 1; a vector shorter than 1e-12 is divided by 1e-12 instead, as torch does.
void normalize_length(std::span<float> vector);

}  // namespace nearlite
