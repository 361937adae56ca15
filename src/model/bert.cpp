// BERT: word, position and token-type embeddings, then layers that normalize after each residual
// ("post-LN"). Source: Devlin and others, "BERT" (2019); names of tensors as the transformers
// library writes them.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels.h"
#include "linear.h"
#include "nearlite/base/error.h"
#include "nearlite/model/transformer.h"

namespace nearlite {

struct TransformerWorkspace::State {
  LinearContext linear;
  std::vector<float> hidden;     // [rows, hidden]
  std::vector<float> wide;       // [rows, max(3 * hidden, intermediate)]
  std::vector<float> context;    // [rows, hidden]
  std::vector<float> projected;  // [rows, hidden]
  std::vector<float> attention;

  static void grow(std::vector<float>& buffer, std::size_t floats) {
    if (buffer.size() < floats) buffer.resize(floats);
  }
};

TransformerWorkspace::TransformerWorkspace() : state_(std::make_unique<State>()) {}
TransformerWorkspace::~TransformerWorkspace() = default;

namespace {

struct LayerNorm {
  std::vector<float> gamma;
  std::vector<float> beta;
};

struct BertLayer {
  Linear
      query_key_value;  // one product for all three; the query rows are scaled by 1/sqrt(head_dim)
  Linear attention_output;
  LayerNorm attention_norm;
  Linear intermediate;
  Linear output;
  LayerNorm output_norm;
};

/// Reads tensors under the prefix that this exporter used.
class BertTensors {
 public:
  BertTensors(const Weights& weights, const TransformerConfig& config)
      : weights_(weights), config_(config) {
    for (const char* prefix : {"", "bert.", "model.", "encoder.", "0.auto_model."}) {
      if (weights.has(prefix + std::string(kWordTable))) {
        prefix_ = prefix;
        return;
      }
    }
    weights.read(kWordTable, {config.vocabulary, config.hidden});  // throws the fitting error
  }

  static constexpr const char* kWordTable = "embeddings.word_embeddings.weight";

  std::string name(const std::string& rest) const { return prefix_ + rest; }
  std::vector<float> matrix(const std::string& rest, std::size_t rows, std::size_t columns) const {
    return weights_.read(name(rest), {rows, columns});
  }
  std::vector<float> row(const std::string& rest, std::size_t size) const {
    return weights_.read(name(rest), {size});
  }
  /// Old checkpoints say gamma and beta where newer ones say weight and bias.
  LayerNorm norm(const std::string& rest) const {
    const bool old = !weights_.has(name(rest + ".weight")) && weights_.has(name(rest + ".gamma"));
    return {row(rest + (old ? ".gamma" : ".weight"), config_.hidden),
            row(rest + (old ? ".beta" : ".bias"), config_.hidden)};
  }
  Linear linear(const std::string& rest, std::size_t in, std::size_t out) const {
    return {matrix(rest + ".weight", out, in), row(rest + ".bias", out), in, out};
  }
  Linear query_key_value(const std::string& rest) const {
    const std::size_t hidden = config_.hidden;
    const std::size_t head_width = hidden / config_.num_heads;
    const auto head_dim = static_cast<float>(head_width);
    std::vector<float> weights;
    std::vector<float> bias;
    weights.reserve(3 * hidden * hidden);
    for (const char* part : {"query", "key", "value"}) {
      std::vector<float> part_weights = matrix(rest + part + ".weight", hidden, hidden);
      std::vector<float> part_bias = row(rest + part + ".bias", hidden);
      if (part == std::string_view("query")) {
        const float scale = 1.0F / std::sqrt(head_dim);
        for (float& value : part_weights) value *= scale;
        for (float& value : part_bias) value *= scale;
      }
      weights.insert(weights.end(), part_weights.begin(), part_weights.end());
      bias.insert(bias.end(), part_bias.begin(), part_bias.end());
    }
    return {weights, bias, hidden, 3 * hidden};
  }

 private:
  const Weights& weights_;
  const TransformerConfig& config_;
  std::string prefix_;
};

class BertTransformer final : public Transformer {
 public:
  BertTransformer(const TransformerConfig& config, std::shared_ptr<const Weights> weights)
      : config_(config), weights_(std::move(weights)), kernels_(kernels()) {
    const BertTensors tensors(*weights_, config_);
    const std::string word_table = tensors.name(BertTensors::kWordTable);
    const std::vector<std::size_t> shape{config_.vocabulary, config_.hidden};
    if (const auto mapped = weights_->view(word_table, shape)) {
      words_ = *mapped;
    } else {
      converted_words_ = weights_->read(word_table, shape);
      words_ = converted_words_;
    }
    positions_ = tensors.matrix("embeddings.position_embeddings.weight", config_.max_positions,
                                config_.hidden);
    const std::vector<float> types = tensors.matrix("embeddings.token_type_embeddings.weight",
                                                    config_.num_token_types, config_.hidden);
    first_type_.assign(types.begin(), types.begin() + static_cast<std::ptrdiff_t>(config_.hidden));
    embedding_norm_ = tensors.norm("embeddings.LayerNorm");
    layers_.reserve(config_.num_layers);
    for (std::size_t i = 0; i < config_.num_layers; ++i) {
      const std::string layer = "encoder.layer." + std::to_string(i) + ".";
      layers_.push_back(
          {.query_key_value = tensors.query_key_value(layer + "attention.self."),
           .attention_output =
               tensors.linear(layer + "attention.output.dense", config_.hidden, config_.hidden),
           .attention_norm = tensors.norm(layer + "attention.output.LayerNorm"),
           .intermediate =
               tensors.linear(layer + "intermediate.dense", config_.hidden, config_.intermediate),
           .output = tensors.linear(layer + "output.dense", config_.intermediate, config_.hidden),
           .output_norm = tensors.norm(layer + "output.LayerNorm")});
    }
    weights_->release_pages();
  }

  const TransformerConfig& config() const noexcept override { return config_; }

  std::span<const float> forward(const PackedTokens& tokens,
                                 TransformerWorkspace& workspace) const override {
    check(tokens);
    const FlushDenormals flush;
    const std::size_t rows = tokens.ids.size();
    const std::size_t hidden = config_.hidden;
    TransformerWorkspace::State& state = workspace.state();
    const std::size_t room = padded_rows(rows);
    state.grow(state.hidden, room * hidden);
    state.grow(state.wide, room * std::max(3 * hidden, config_.intermediate));
    state.grow(state.context, room * hidden);
    state.grow(state.projected, room * hidden);

    embed(tokens, state);
    for (const BertLayer& layer : layers_) {
      layer.query_key_value.run(state.linear, rows, state.hidden.data(), state.wide.data());
      attend(tokens, state);
      layer.attention_output.run(state.linear, rows, state.context.data(), state.projected.data());
      normalize(state, layer.attention_norm, rows);
      layer.intermediate.run(state.linear, rows, state.hidden.data(), state.wide.data());
      activate(state.wide.data(), rows * config_.intermediate);
      layer.output.run(state.linear, rows, state.wide.data(), state.projected.data());
      normalize(state, layer.output_norm, rows);
    }
    return std::span(state.hidden).first(rows * hidden);
  }

 private:
  void check(const PackedTokens& tokens) const {
    const auto& ends = tokens.boundaries;
    if (ends.empty() || ends.front() != 0 || ends.back() != tokens.ids.size()) {
      throw InvalidArgument("the boundaries of packed tokens must begin at 0 and end at " +
                            std::to_string(tokens.ids.size()));
    }
    for (std::size_t t = 0; t + 1 < ends.size(); ++t) {
      if (ends[t + 1] < ends[t] || ends[t + 1] - ends[t] > config_.max_positions) {
        throw InvalidArgument("text " + std::to_string(t) + " has " +
                              std::to_string(std::int64_t{ends[t + 1]} - std::int64_t{ends[t]}) +
                              " tokens, the model has " + std::to_string(config_.max_positions) +
                              " positions");
      }
    }
    for (const std::int32_t id : tokens.ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= config_.vocabulary) {
        throw InvalidArgument("token id " + std::to_string(id) + " is outside the vocabulary of " +
                              std::to_string(config_.vocabulary));
      }
    }
  }

  void embed(const PackedTokens& tokens, TransformerWorkspace::State& state) const {
    const std::size_t hidden = config_.hidden;
    for (std::size_t t = 0; t + 1 < tokens.boundaries.size(); ++t) {
      const std::size_t begin = tokens.boundaries[t];
      for (std::size_t row = begin; row < tokens.boundaries[t + 1]; ++row) {
        const float* word = words_.data() + static_cast<std::size_t>(tokens.ids[row]) * hidden;
        const float* position = positions_.data() + (row - begin) * hidden;
        float* sum = state.hidden.data() + row * hidden;
        float* rest = state.projected.data() + row * hidden;
        for (std::size_t i = 0; i < hidden; ++i) {
          sum[i] = word[i] + first_type_[i];
          rest[i] = position[i];
        }
      }
    }
    normalize(state, embedding_norm_, tokens.ids.size());
  }

  void normalize(TransformerWorkspace::State& state, const LayerNorm& norm,
                 std::size_t rows) const {
    kernels_.add_layer_norm(state.hidden.data(), state.projected.data(), norm.gamma.data(),
                            norm.beta.data(), config_.layer_norm_epsilon, rows, config_.hidden);
  }

  void attend(const PackedTokens& tokens, TransformerWorkspace::State& state) const {
    const std::size_t hidden = config_.hidden;
    const std::size_t head_dim = hidden / config_.num_heads;
    for (std::size_t t = 0; t + 1 < tokens.boundaries.size(); ++t) {
      const std::size_t begin = tokens.boundaries[t];
      const std::size_t num_tokens = tokens.boundaries[t + 1] - begin;
      if (num_tokens == 0) continue;
      state.grow(state.attention, attention_scratch_floats(num_tokens, head_dim));
      for (std::size_t h = 0; h < config_.num_heads; ++h) {
        const float* query = state.wide.data() + begin * 3 * hidden + h * head_dim;
        kernels_.attention({.query = query,
                            .key = query + hidden,
                            .value = query + 2 * hidden,
                            .output = state.context.data() + begin * hidden + h * head_dim,
                            .scratch = state.attention.data(),
                            .num_tokens = num_tokens,
                            .head_dim = head_dim,
                            .qkv_stride = 3 * hidden,
                            .output_stride = hidden});
      }
    }
  }

  void activate(float* values, std::size_t count) const noexcept {
    switch (config_.activation) {
      case Activation::kGeluErf:
        return kernels_.gelu_erf(values, count);
      case Activation::kGeluTanh:
        return kernels_.gelu_tanh(values, count);
      case Activation::kRelu:
        return kernels_.relu(values, count);
    }
  }

  TransformerConfig config_;
  std::shared_ptr<const Weights> weights_;  // the word table is read from its mapping
  const Kernels& kernels_;
  std::span<const float> words_;  // [vocabulary, hidden]
  std::vector<float> converted_words_;
  std::vector<float> positions_;   // [max_positions, hidden]
  std::vector<float> first_type_;  // [hidden]: all our texts are of type 0
  LayerNorm embedding_norm_;
  std::vector<BertLayer> layers_;
};

}  // namespace

std::unique_ptr<const Transformer> load_transformer(const TransformerConfig& config,
                                                    std::shared_ptr<const Weights> weights) {
  return std::make_unique<BertTransformer>(config, std::move(weights));
}

}  // namespace nearlite
