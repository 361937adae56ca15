// BERT and its kin: word, position and token-type embeddings, then layers that normalize after each
// residual ("post-LN"). Source: Devlin and others, "BERT" (2019); names of tensors as the
// transformers library writes them. RoBERTa, XLM-R and CamemBERT count positions from behind the
// padding id; MPNet has no token types but a bias for distances; DistilBERT has no token types.
#include <algorithm>
#include <bit>
#include <optional>
#include <vector>

#include "kernels.h"
#include "layers.h"
#include "nearlite/base/error.h"
#include "nearlite/model/transformer.h"
#include "workspace.h"

namespace nearlite {

namespace {

struct BertLayer {
  SelfAttention attention;
  LayerNorm attention_norm;
  FeedForward feed_forward;
  LayerNorm output_norm;
};

/// What an architecture calls the parts of a layer.
struct LayerNames {
  const char* layers;
  const char* query;
  const char* key;
  const char* value;
  const char* attention_output;
  const char* attention_norm;
  const char* inner;
  const char* outer;
  const char* output_norm;
};

constexpr LayerNames kBertNames = {.layers = "encoder.layer.",
                                   .query = "attention.self.query",
                                   .key = "attention.self.key",
                                   .value = "attention.self.value",
                                   .attention_output = "attention.output.dense",
                                   .attention_norm = "attention.output.LayerNorm",
                                   .inner = "intermediate.dense",
                                   .outer = "output.dense",
                                   .output_norm = "output.LayerNorm"};
constexpr LayerNames kMpnetNames = {.layers = "encoder.layer.",
                                    .query = "attention.attn.q",
                                    .key = "attention.attn.k",
                                    .value = "attention.attn.v",
                                    .attention_output = "attention.attn.o",
                                    .attention_norm = "attention.LayerNorm",
                                    .inner = "intermediate.dense",
                                    .outer = "output.dense",
                                    .output_norm = "output.LayerNorm"};
constexpr LayerNames kDistilbertNames = {.layers = "transformer.layer.",
                                         .query = "attention.q_lin",
                                         .key = "attention.k_lin",
                                         .value = "attention.v_lin",
                                         .attention_output = "attention.out_lin",
                                         .attention_norm = "sa_layer_norm",
                                         .inner = "ffn.lin1",
                                         .outer = "ffn.lin2",
                                         .output_norm = "output_layer_norm"};

const LayerNames& names_of(const std::string& architecture) {
  if (architecture == "mpnet") return kMpnetNames;
  return architecture == "distilbert" ? kDistilbertNames : kBertNames;
}

/// Reads tensors under the prefix that this exporter used.
class BertTensors {
 public:
  BertTensors(const Weights& weights, const TransformerConfig& config)
      : weights_(weights), config_(config) {
    for (const char* prefix : {"", "bert.", "roberta.", "xlm_roberta.", "camembert.", "mpnet.",
                               "distilbert.", "model.", "encoder.", "0.auto_model."}) {
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
    if (const auto mapped = weights_.view(name(rest + ".weight"), {out, in})) {
      return {*mapped, row(rest + ".bias", out)};
    }
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
    words_ = weights_->rows(word_table, shape);
    if (config_.padding_id) first_position_ = static_cast<std::size_t>(*config_.padding_id) + 1;
    positions_ = tensors.matrix("embeddings.position_embeddings.weight",
                                first_position_ + config_.max_positions, config_.hidden);
    first_type_.assign(config_.hidden, 0.0F);
    if (config_.num_token_types > 0) {
      const std::vector<float> types = tensors.matrix("embeddings.token_type_embeddings.weight",
                                                      config_.num_token_types, config_.hidden);
      std::copy_n(types.begin(), config_.hidden, first_type_.begin());
    }
    if (config_.relative_buckets > 0) {
      distances_.emplace(tensors.matrix("encoder.relative_attention_bias.weight",
                                        config_.relative_buckets, config_.num_heads),
                         config_.num_heads, config_.max_positions);
    }
    embedding_norm_ = tensors.norm("embeddings.LayerNorm");
    const Packing packing{precision, std::make_shared<WeightMemory>(bytes_to_reserve())};
    layers_.reserve(config_.num_layers);
    for (std::size_t i = 0; i < config_.num_layers; ++i) {
      layers_.push_back(read_layer(tensors, names_of(config_.architecture), i, packing));
      weights_->release_pages();  // they are packed now
    }
  }

  const TransformerConfig& config() const noexcept override { return config_; }

  std::span<const float> forward(const PackedTokens& tokens,
                                 TransformerWorkspace& workspace) const override {
    check_tokens(tokens, config_.vocabulary, config_.max_positions);
    const FlushDenormals flush;
    const std::size_t rows = tokens.ids.size();
    TransformerWorkspace::State& state = workspace.state();
    state.start_laps();
    embed(tokens, state);
    for (const BertLayer& layer : layers_) {
      layer.attention.run(tokens, state, distances_ ? &*distances_ : nullptr);
      layer.attention_norm.add_and_normalize(rows, state);
      layer.feed_forward.run(rows, state);
      layer.output_norm.add_and_normalize(rows, state);
    }
    return std::span(state.hidden).first(rows * config_.hidden);
  }

 private:
  /// For all weights in their widest form, with the columns that panels are filled up with.
  std::size_t bytes_to_reserve() const {
    constexpr std::size_t kPadding = 64;
    const std::size_t hidden = config_.hidden + kPadding;
    const std::size_t inner = config_.intermediate + kPadding;
    return config_.num_layers * (4 * hidden * hidden + 2 * hidden * inner) * sizeof(float);
  }

  BertLayer read_layer(const BertTensors& tensors, const LayerNames& names, std::size_t number,
                       const Packing& packing) const {
    const std::size_t hidden = config_.hidden;
    const std::string layer = names.layers + std::to_string(number) + ".";
    const auto square = [&](const char* name) {
      return tensors.linear(layer + name, hidden, hidden);
    };
    return {.attention = {square(names.query), square(names.key), square(names.value),
                          square(names.attention_output), config_.num_heads, packing},
            .attention_norm = tensors.norm(layer + names.attention_norm),
            .feed_forward = {tensors.linear(layer + names.inner, hidden, config_.intermediate),
                             tensors.linear(layer + names.outer, config_.intermediate, hidden),
                             config_.activation, packing},
            .output_norm = tensors.norm(layer + names.output_norm)};
  }

  void embed(const PackedTokens& tokens, TransformerWorkspace::State& state) const {
    const std::size_t hidden = config_.hidden;
    float* sums = state.room(state.hidden, tokens.ids.size() * hidden);
    float* rests = state.room(state.projected, tokens.ids.size() * hidden);
    std::uint32_t not_finite = 0;
    for (std::size_t t = 0; t + 1 < tokens.boundaries.size(); ++t) {
      std::size_t next = first_position_;
      for (std::size_t row = tokens.boundaries[t]; row < tokens.boundaries[t + 1]; ++row) {
        const bool is_padding = config_.padding_id && tokens.ids[row] == *config_.padding_id;
        const float* position =
            positions_.data() + (is_padding ? first_position_ - 1 : next++) * hidden;
        float* sum = sums + row * hidden;
        float* rest = rests + row * hidden;
        words_.read(static_cast<std::size_t>(tokens.ids[row]), {sum, hidden});
        for (std::size_t i = 0; i < hidden; ++i) {
          const auto bits = std::bit_cast<std::uint32_t>(sum[i]);
          not_finite |= static_cast<std::uint32_t>((bits & 0x7f800000U) == 0x7f800000U);
          sum[i] += first_type_[i];
          rest[i] = position[i];
        }
      }
    }
    if (not_finite != 0) {
      throw CorruptData("the word embedding of one of the tokens holds a NaN or an infinity",
                        "get the model again: nearlite model pull");
    }
    state.lap(&StageSeconds::embed);
    embedding_norm_.add_and_normalize(tokens.ids.size(), state);
  }

  TransformerConfig config_;
  std::shared_ptr<const Weights> weights_;  // the rows of the word table are read from its file
  TensorRows words_;                        // [vocabulary, hidden]
  std::size_t first_position_ = 0;
  std::vector<float> positions_;   // [first_position + max_positions, hidden]
  std::vector<float> first_type_;  // [hidden]: all our texts are of type 0
  std::optional<RelativeBias> distances_;
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
