#include <array>
#include <limits>
#include <nlohmann/json.hpp>

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

  std::size_t count(const char* name, std::size_t least, std::size_t most) const {
    const auto found = values_.find(name);
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
  throw InvalidArgument(where + ": the activation '" + name + "' is not supported; supported are " +
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
  if (config.architecture != "bert") {
    throw InvalidArgument(where + ": the architecture '" + config.architecture +
                              "' (\"model_type\") is not supported; supported are: bert",
                          "take a BERT model, for example sentence-transformers/all-MiniLM-L6-v2");
  }
  const std::string positions = reader.text("position_embedding_type", "absolute");
  if (positions != "absolute") {
    throw InvalidArgument(where + ": \"position_embedding_type\" '" + positions +
                          "' is not supported; supported are: absolute");
  }
  if (reader.flag("is_decoder")) {
    throw InvalidArgument(where + ": a decoder (\"is_decoder\") is not supported, only encoders");
  }
  config.num_layers = reader.count("num_hidden_layers", 1, 256);
  config.hidden = reader.count("hidden_size", 1, 16384);
  config.num_heads = reader.count("num_attention_heads", 1, 256);
  config.intermediate = reader.count("intermediate_size", 1, 65536);
  config.vocabulary = reader.count("vocab_size", 1, 4'000'000);
  config.max_positions = reader.count("max_position_embeddings", 2, 65536);
  config.num_token_types = reader.count("type_vocab_size", 1, 64);
  config.layer_norm_epsilon = reader.epsilon("layer_norm_eps", 1e-12F);
  config.activation = activation_of(reader.text("hidden_act", "gelu"), where);
  if (config.hidden % config.num_heads != 0) {
    throw CorruptData(where + ": " + std::to_string(config.num_heads) +
                      " attention heads do not divide the hidden size " +
                      std::to_string(config.hidden));
  }
  return config;
}

}  // namespace nearlite
