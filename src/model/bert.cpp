// BERT: word, position and token-type embeddings, then layers that normalize after each residual
// ("post-LN"). Source: Devlin and others, "BERT" (2019); names of tensors as the transformers
// library writes them.
#include <vector>

#include "kernels.h"
#include "layers.h"
#include "nearlite/base/error.h"
#include "nearlite/model/transformer.h"
#include "workspace.h"

namespace nearlite {

TransformerWorkspace::TransformerWorkspace() : state_(std::make_unique<State>()) {}
TransformerWorkspace::~TransformerWorkspace() = default;

namespace {

struct BertLayer {
  SelfAttention attention;
  LayerNorm attention_norm;
  FeedForward feed_forward;
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
            row(rest + (old ? ".beta" : ".bias"), config_.hidden), config_.layer_norm_epsilon};
  }
  LinearWeights linear(const std::string& rest, std::size_t in, std::size_t out) const {
    return {matrix(rest + ".weight", out, in), row(rest + ".bias", out)};
  }

 private:
  const Weights& weights_;
  const TransformerConfig& config_;
  std::string prefix_;
};

class BertTransformer final : public Transformer {
 public:
  BertTransformer(const TransformerConfig& config, std::shared_ptr<const Weights> weights,
                  Precision precision)
      : config_(config), weights_(std::move(weights)) {
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
      layers_.push_back(read_layer(tensors, "encoder.layer." + std::to_string(i) + ".", precision));
    }
    weights_->release_pages();
  }

  const TransformerConfig& config() const noexcept override { return config_; }

  std::span<const float> forward(const PackedTokens& tokens,
                                 TransformerWorkspace& workspace) const override {
    check_tokens(tokens, config_.vocabulary, config_.max_positions);
    const FlushDenormals flush;
    const std::size_t rows = tokens.ids.size();
    TransformerWorkspace::State& state = workspace.state();
    embed(tokens, state);
    for (const BertLayer& layer : layers_) {
      layer.attention.run(tokens, state);
      layer.attention_norm.add_and_normalize(rows, state);
      layer.feed_forward.run(rows, state);
      layer.output_norm.add_and_normalize(rows, state);
    }
    return std::span(state.hidden).first(rows * config_.hidden);
  }

 private:
  BertLayer read_layer(const BertTensors& tensors, const std::string& layer,
                       Precision precision) const {
    const std::size_t hidden = config_.hidden;
    const std::string self = layer + "attention.self.";
    return {
        .attention = {tensors.linear(self + "query", hidden, hidden),
                      tensors.linear(self + "key", hidden, hidden),
                      tensors.linear(self + "value", hidden, hidden),
                      tensors.linear(layer + "attention.output.dense", hidden, hidden),
                      config_.num_heads, precision},
        .attention_norm = tensors.norm(layer + "attention.output.LayerNorm"),
        .feed_forward = {tensors.linear(layer + "intermediate.dense", hidden, config_.intermediate),
                         tensors.linear(layer + "output.dense", config_.intermediate, hidden),
                         config_.activation, precision},
        .output_norm = tensors.norm(layer + "output.LayerNorm")};
  }

  void embed(const PackedTokens& tokens, TransformerWorkspace::State& state) const {
    const std::size_t hidden = config_.hidden;
    float* sums = state.room(state.hidden, tokens.ids.size() * hidden);
    float* rests = state.room(state.projected, tokens.ids.size() * hidden);
    for (std::size_t t = 0; t + 1 < tokens.boundaries.size(); ++t) {
      const std::size_t begin = tokens.boundaries[t];
      for (std::size_t row = begin; row < tokens.boundaries[t + 1]; ++row) {
        const float* word = words_.data() + static_cast<std::size_t>(tokens.ids[row]) * hidden;
        const float* position = positions_.data() + (row - begin) * hidden;
        float* sum = sums + row * hidden;
        float* rest = rests + row * hidden;
        for (std::size_t i = 0; i < hidden; ++i) {
          sum[i] = word[i] + first_type_[i];
          rest[i] = position[i];
        }
      }
    }
    embedding_norm_.add_and_normalize(tokens.ids.size(), state);
  }

  TransformerConfig config_;
  std::shared_ptr<const Weights> weights_;  // the word table is read from its mapping
  std::span<const float> words_;            // [vocabulary, hidden]
  std::vector<float> converted_words_;
  std::vector<float> positions_;   // [max_positions, hidden]
  std::vector<float> first_type_;  // [hidden]: all our texts are of type 0
  LayerNorm embedding_norm_;
  std::vector<BertLayer> layers_;
};

}  // namespace

std::unique_ptr<const Transformer> load_transformer(const TransformerConfig& config,
                                                    std::shared_ptr<const Weights> weights,
                                                    Precision precision) {
  return std::make_unique<BertTransformer>(config, std::move(weights), chosen_precision(precision));
}

}  // namespace nearlite
