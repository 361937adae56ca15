#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "nearlite/model/strict_json.h"
#include "nearlite/model/transformer.h"

namespace nearlite {
namespace {

using nlohmann::json;

class ConfigReader {
 public:
  ConfigReader(const json& values, std::string where) : values_(values), where_(std::move(where)) {}

  std::size_t count(const char* name, std::size_t least, std::size_t most,
                    std::optional<std::size_t> absent = {}) const {
    const auto found = values_.find(name);
    if (absent && (found == values_.end() || found->is_null())) return *absent;
    if (found == values_.end()) throw CorruptData(where_ + " lacks \"" + name + "\"");
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() < least ||
        found->get<std::uint64_t>() > most) {
      throw CorruptData(where_ + ": \"" + name + "\" is " + found->dump().substr(0, 40) +
                        ", allowed is " + std::to_string(least) + " to " + std::to_string(most));
    }
    return found->get<std::size_t>();
  }

  float epsilon(const char* name, float absent) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return absent;
    const double value = found->is_number() ? found->get<double>() : -1;
    if (!(value >= 0 && value < 1)) {
      throw CorruptData(where_ + ": \"" + name + "\" is " + found->dump().substr(0, 40) +
                        ", allowed is 0 to 1");
    }
    return static_cast<float>(value);
  }

  std::string text(const char* name, const char* absent) const {
    const auto found = values_.find(name);
    if (found == values_.end() || found->is_null()) return absent;
    if (!found->is_string()) {
      throw CorruptData(where_ + ": \"" + name + "\" is " + found->dump().substr(0, 40) +
                        ", not a name");
    }
    return found->get<std::string>();
  }

  bool flag(const char* name) const {
    const auto found = values_.find(name);
    return found != values_.end() && found->is_boolean() && found->get<bool>();
  }

  const std::string& where() const { return where_; }

 private:
  const json& values_;
  std::string where_;
};

/// What the members of config.json are called.
struct ConfigNames {
  const char* layers = "num_hidden_layers";
  const char* hidden = "hidden_size";
  const char* heads = "num_attention_heads";
  const char* intermediate = "intermediate_size";
  const char* activation = "hidden_act";
};
constexpr ConfigNames kDistilbertNames = {.layers = "n_layers",
                                          .hidden = "dim",
                                          .heads = "n_heads",
                                          .intermediate = "hidden_dim",
                                          .activation = "activation"};

struct Architecture {
  const char* name;
  ConfigNames names;
  bool has_token_types;
  bool skips_padding;  // positions begin behind the padding id
  bool has_distances;
};
constexpr std::array kArchitectures = {
    Architecture{"bert", {}, true, false, false},
    Architecture{"roberta", {}, true, true, false},
    Architecture{"xlm-roberta", {}, true, true, false},
    Architecture{"camembert", {}, true, true, false},
    Architecture{"mpnet", {}, false, true, true},
    Architecture{"distilbert", kDistilbertNames, false, false, false}};

const Architecture* find_architecture(const std::string& name) {
  for (const Architecture& each : kArchitectures) {
    if (name == each.name) return &each;
  }
  return nullptr;
}

struct NamedActivation {
  const char* name;
  Activation activation;
};
constexpr std::array kActivations = {NamedActivation{"gelu", Activation::kGeluErf},
                                     NamedActivation{"gelu_python", Activation::kGeluErf},
                                     NamedActivation{"gelu_new", Activation::kGeluTanh},
                                     NamedActivation{"gelu_fast", Activation::kGeluTanh},
                                     NamedActivation{"gelu_pytorch_tanh", Activation::kGeluTanh},
                                     NamedActivation{"gelu_accurate", Activation::kGeluTanh},
                                     NamedActivation{"relu", Activation::kRelu}};

Activation activation_of(const std::string& name, const std::string& where) {
  std::vector<std::string> known;
  for (const NamedActivation& each : kActivations) {
    if (name == each.name) return each.activation;
    known.emplace_back(each.name);
  }
  throw CorruptData(where + ": the activation '" + name + "' is not supported; supported are " +
                    join_names(known));
}

}  // namespace

TransformerConfig read_transformer_config(const std::filesystem::path& config_json) {
  const std::string where = config_json.string();
  const json values = parse_strict_json(read_file(config_json), where);
  if (!values.is_object()) throw CorruptData(where + " is not a JSON object");
  const ConfigReader reader(values, where);

  TransformerConfig config;
  config.architecture = reader.text("model_type", "");
  const Architecture* architecture = find_architecture(config.architecture);
  if (architecture == nullptr) {
    std::vector<std::string> known;
    for (const Architecture& each : kArchitectures) known.emplace_back(each.name);
    throw CorruptData(
        where + ": the architecture '" + config.architecture +
            "' (\"model_type\") is not supported; supported are: " + join_names(known),
        "take one of those, for example sentence-transformers/all-MiniLM-L6-v2");
  }
  const std::string positions = reader.text("position_embedding_type", "absolute");
  if (positions != "absolute") {
    throw CorruptData(where + ": \"position_embedding_type\" '" + positions +
                      "' is not supported; supported are: absolute");
  }
  if (reader.flag("is_decoder")) {
    throw CorruptData(where + ": a decoder (\"is_decoder\") is not supported, only encoders");
  }
  const ConfigNames& names = architecture->names;
  config.num_layers = reader.count(names.layers, 1, 256);
  config.hidden = reader.count(names.hidden, 1, 16384);
  config.num_heads = reader.count(names.heads, 1, 256);
  config.intermediate = reader.count(names.intermediate, 1, 65536);
  config.vocabulary = reader.count("vocab_size", 1, 4'000'000);
  config.max_positions = reader.count("max_position_embeddings", 2, 65536);
  if (architecture->has_token_types) {
    config.num_token_types = reader.count("type_vocab_size", 1, 64);
  }
  if (architecture->skips_padding) {
    config.padding_id =
        static_cast<std::int32_t>(reader.count("pad_token_id", 0, config.max_positions - 3, 1));
    config.max_positions -= static_cast<std::size_t>(*config.padding_id) + 1;
  }
  if (architecture->has_distances) {
    config.relative_buckets = reader.count("relative_attention_num_buckets", 4, 1024, 32);
    if (config.relative_buckets % 4 != 0) {
      throw CorruptData(where + ": \"relative_attention_num_buckets\" is " +
                        std::to_string(config.relative_buckets) + ", not a multiple of 4");
    }
  }
  config.layer_norm_epsilon = reader.epsilon("layer_norm_eps", 1e-12F);
  config.activation = activation_of(reader.text(names.activation, "gelu"), where);
  if (config.hidden % config.num_heads != 0) {
    throw CorruptData(where + ": " + std::to_string(config.num_heads) +
                      " attention heads do not divide the hidden size " +
                      std::to_string(config.hidden));
  }
  return config;
}

}  // namespace nearlite
