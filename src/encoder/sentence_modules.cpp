#include "sentence_modules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "nearlite/model/strict_json.h"
#include "nearlite/model/weights.h"

namespace nearlite {
namespace {

using nlohmann::json;

struct NamedMode {
  PoolingMode mode;
  const char* name;
  const char* old_key;  // of the boolean spelling
};
/// In the order in which several old booleans concatenate.
constexpr std::array kModes = {
    NamedMode{PoolingMode::kCls, "cls", "pooling_mode_cls_token"},
    NamedMode{PoolingMode::kMax, "max", "pooling_mode_max_tokens"},
    NamedMode{PoolingMode::kMean, "mean", "pooling_mode_mean_tokens"},
    NamedMode{PoolingMode::kMeanSqrtLen, "mean_sqrt_len_tokens",
              "pooling_mode_mean_sqrt_len_tokens"},
    NamedMode{PoolingMode::kWeightedMean, "weightedmean", "pooling_mode_weightedmean_tokens"},
    NamedMode{PoolingMode::kLastToken, "lasttoken", "pooling_mode_lasttoken"}};

struct NamedDenseActivation {
  DenseActivation activation;
  const char* torch_name;
};
constexpr std::array kDenseActivations = {
    NamedDenseActivation{DenseActivation::kIdentity, "Identity"},
    NamedDenseActivation{DenseActivation::kTanh, "Tanh"},
    NamedDenseActivation{DenseActivation::kRelu, "ReLU"},
    NamedDenseActivation{DenseActivation::kGelu, "GELU"},
    NamedDenseActivation{DenseActivation::kSigmoid, "Sigmoid"},
    NamedDenseActivation{DenseActivation::kSilu, "SiLU"}};

json read_object(const std::filesystem::path& file) {
  json parsed = parse_strict_json(read_file(file), file.string());
  if (!parsed.is_object()) throw CorruptData(file.string() + " is not a JSON object");
  return parsed;
}

bool flag(const json& values, const char* name, bool absent, const std::string& where) {
  const auto found = values.find(name);
  if (found == values.end() || found->is_null()) return absent;
  if (!found->is_boolean()) {
    throw CorruptData(where + ": \"" + name + "\" is " + found->dump().substr(0, 40) +
                      ", not true or false");
  }
  return found->get<bool>();
}

std::size_t dimension(const json& values, const char* name, const std::string& where) {
  constexpr std::uint64_t kMost = 65536;
  const auto found = values.find(name);
  if (found == values.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() == 0 ||
      found->get<std::uint64_t>() > kMost) {
    throw CorruptData(where + ": \"" + name + "\" must be a number from 1 to " +
                      std::to_string(kMost));
  }
  return found->get<std::size_t>();
}

PoolingMode mode_of(const json& value, const std::string& where) {
  std::vector<std::string> known;
  for (const NamedMode& each : kModes) {
    if (value == each.name) return each.mode;
    known.emplace_back(each.name);
  }
  throw CorruptData(where + ": the pooling mode " + value.dump().substr(0, 40) +
                    " is not supported; supported are " + join_names(known));
}

/// Reads and writes only "sentence_embedding"; other names wire modules in ways that we do not
/// have.
void require_usual_names(const json& values, const std::string& where) {
  for (const char* key : {"module_input_name", "module_output_name"}) {
    const auto found = values.find(key);
    if (found != values.end() && !found->is_null() && *found != "sentence_embedding") {
      throw CorruptData(where + ": \"" + key + "\" " + found->dump().substr(0, 60) +
                        " is not supported; supported is sentence_embedding");
    }
  }
}

double activated(DenseActivation activation, double x) {
  switch (activation) {
    case DenseActivation::kIdentity:
      return x;
    case DenseActivation::kTanh:
      return std::tanh(x);
    case DenseActivation::kRelu:
      return std::max(x, 0.0);
    case DenseActivation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case DenseActivation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case DenseActivation::kSilu:
      return x / (1 + std::exp(-x));
  }
  return x;
}

std::vector<float> transposed(const std::vector<float>& matrix, std::size_t rows,
                              std::size_t columns) {
  std::vector<float> result(matrix.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) result[c * rows + r] = matrix[r * columns + c];
  }
  return result;
}

/// sums += input * matrix, matrix: [input.size(), sums.size()].
void add_product(std::span<double> sums, std::span<const float> input,
                 std::span<const float> matrix) {
  for (std::size_t i = 0; i < input.size(); ++i) {
    const double factor = static_cast<double>(input[i]);
    const float* row = matrix.data() + i * sums.size();
    for (std::size_t o = 0; o < sums.size(); ++o) sums[o] += factor * static_cast<double>(row[o]);
  }
}

/// Sum of the rows from `first` on, row t times weight(t); returns the sum of the weights.
template <typename Weight>
double weighted_sum(std::span<const float> hidden, std::size_t dim, std::size_t first,
                    std::vector<double>& sums, Weight weight) {
  sums.assign(dim, 0.0);
  double total = 0;
  for (std::size_t t = first; t * dim < hidden.size(); ++t) {
    const double w = weight(t);
    total += w;
    const float* row = hidden.data() + t * dim;
    for (std::size_t i = 0; i < dim; ++i) sums[i] += w * static_cast<double>(row[i]);
  }
  return total;
}

void pool_mode(PoolingMode mode, std::span<const float> hidden, std::size_t dim, std::size_t first,
               std::span<float> target) {
  const std::size_t num_tokens = hidden.size() / dim;
  const auto copy_row = [&](std::size_t t) {
    std::copy_n(hidden.begin() + static_cast<std::ptrdiff_t>(t * dim), dim, target.begin());
  };
  std::vector<double> sums;
  const auto divide_by = [&](double divisor) {
    const double factor = 1 / std::max(divisor, 1e-9);
    for (std::size_t i = 0; i < dim; ++i) target[i] = static_cast<float>(sums[i] * factor);
  };
  switch (mode) {
    case PoolingMode::kCls:
      return copy_row(first);
    case PoolingMode::kLastToken:
      return copy_row(num_tokens - 1);
    case PoolingMode::kMax:
      copy_row(first);
      for (std::size_t t = first + 1; t < num_tokens; ++t) {
        for (std::size_t i = 0; i < dim; ++i) {
          target[i] = std::max(target[i], hidden[t * dim + i]);
        }
      }
      return;
    case PoolingMode::kMean:
      return divide_by(weighted_sum(hidden, dim, first, sums, [](std::size_t) { return 1.0; }));
    case PoolingMode::kMeanSqrtLen:
      return divide_by(
          std::sqrt(weighted_sum(hidden, dim, first, sums, [](std::size_t) { return 1.0; })));
    case PoolingMode::kWeightedMean:  // by position, counted from the first token of the text,
                                      // prompt included
      return divide_by(weighted_sum(hidden, dim, first, sums,
                                    [](std::size_t t) { return static_cast<double>(t + 1); }));
  }
}

}  // namespace

PoolingConfig read_pooling_config(const std::filesystem::path& config_json, std::size_t dim) {
  const std::string where = config_json.string();
  const json values = read_object(config_json);
  const char* dim_key =
      values.contains("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension";
  if (dimension(values, dim_key, where) != dim) {
    throw CorruptData(where + ": \"" + dim_key + "\" is " + values[dim_key].dump() +
                      ", the transformer has " + std::to_string(dim));
  }
  PoolingConfig config;
  config.include_prompt = flag(values, "include_prompt", true, where);
  if (const auto found = values.find("pooling_mode"); found != values.end()) {
    if (found->is_array()) {
      for (const json& mode : *found) config.modes.push_back(mode_of(mode, where));
    } else {
      config.modes.push_back(mode_of(*found, where));
    }
    if (config.modes.empty()) throw CorruptData(where + ": \"pooling_mode\" is an empty list");
    return config;
  }
  for (const auto& [key, value] : values.items()) {
    const bool known =
        std::any_of(kModes.begin(), kModes.end(),
                    [&, &name = key](const NamedMode& mode) { return name == mode.old_key; });
    if (key.starts_with("pooling_mode") && !known && value != false) {
      throw CorruptData(where + ": the pooling mode \"" + key + "\" is not supported");
    }
  }
  for (const NamedMode& mode : kModes) {
    if (flag(values, mode.old_key, false, where)) config.modes.push_back(mode.mode);
  }
  if (config.modes.empty()) config.modes.push_back(PoolingMode::kMean);
  return config;
}

DenseConfig read_dense_config(const std::filesystem::path& folder) {
  const std::string where = (folder / "config.json").string();
  const json values = read_object(folder / "config.json");
  require_usual_names(values, where);
  DenseConfig config;
  config.folder = folder;
  config.in = dimension(values, "in_features", where);
  config.out = dimension(values, "out_features", where);
  config.bias = flag(values, "bias", true, where);
  config.residual = flag(values, "use_residual", false, where);
  const auto found = values.find("activation_function");
  if (found == values.end()) return config;
  const std::string name = found->is_string() ? found->get<std::string>()
                           : found->is_null() ? "torch.nn.modules.linear.Identity"
                                              : found->dump();
  const std::string last = name.substr(name.rfind('.') + 1);
  std::vector<std::string> known;
  for (const NamedDenseActivation& each : kDenseActivations) {
    known.emplace_back(each.torch_name);
    if (name.starts_with("torch.nn.") && last == each.torch_name) {
      config.activation = each.activation;
      return config;
    }
  }
  throw CorruptData(where + ": the activation function '" + name.substr(0, 80) +
                    "' is not supported; supported are torch.nn's " + join_names(known));
}

std::string pooling_name(const PoolingConfig& config) {
  std::vector<std::string> names;
  for (const PoolingMode mode : config.modes) {
    for (const NamedMode& each : kModes) {
      if (each.mode == mode) names.emplace_back(each.name);
    }
  }
  return join_names(names, "+") + (config.include_prompt ? "" : ", without prompt");
}

std::string activation_name(DenseActivation activation) {
  for (const NamedDenseActivation& each : kDenseActivations) {
    if (each.activation == activation) return each.torch_name;
  }
  return "";
}

void pool(const PoolingConfig& config, std::span<const float> hidden, std::size_t dim,
          std::size_t skip, std::span<float> target) {
  if (skip * dim >= hidden.size()) {  // the text was cut inside the prompt
    std::fill(target.begin(), target.end(), 0.0F);
    return;
  }
  for (std::size_t m = 0; m < config.modes.size(); ++m) {
    pool_mode(config.modes[m], hidden, dim, skip, target.subspan(m * dim, dim));
  }
}

DenseModule::DenseModule(const DenseConfig& config) : config_(config) {
  const Weights weights(config.folder);
  weights_ =
      transposed(weights.read("linear.weight", {config.out, config.in}), config.out, config.in);
  bias_ = config.bias ? weights.read("linear.bias", {config.out}) : std::vector<float>(config.out);
  if (config.residual && config.in != config.out) {
    residual_ =
        transposed(weights.read("residual.weight", {config.out, config.in}), config.out, config.in);
  }
}

std::vector<float> DenseModule::apply(std::span<const float> input) const {
  std::vector<double> sums(bias_.begin(), bias_.end());
  add_product(sums, input, weights_);
  for (double& value : sums) value = activated(config_.activation, value);
  if (!residual_.empty()) {
    add_product(sums, input, residual_);
  } else if (config_.residual) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(input[i]);
  }
  std::vector<float> result(sums.size());
  std::transform(sums.begin(), sums.end(), result.begin(),
                 [](double value) { return static_cast<float>(value); });
  return result;
}

LayerNormConfig read_layer_norm_config(const std::filesystem::path& folder) {
  const std::string where = (folder / "config.json").string();
  return {.folder = folder,
          .dim = dimension(read_object(folder / "config.json"), "dimension", where)};
}

LayerNormModule::LayerNormModule(const LayerNormConfig& config) {
  const Weights weights(config.folder);
  gamma_ = weights.read("norm.weight", {config.dim});
  beta_ = weights.read("norm.bias", {config.dim});
}

void LayerNormModule::apply(std::span<float> vector) const {
  constexpr double kEpsilon = 1e-5;  // torch's own; the module has no other
  const auto size = static_cast<double>(vector.size());
  double mean = 0;
  for (const float value : vector) mean += static_cast<double>(value) / size;
  double variance = 0;
  for (const float value : vector) {
    const double difference = static_cast<double>(value) - mean;
    variance += difference * difference / size;
  }
  const double scale = 1 / std::sqrt(variance + kEpsilon);
  for (std::size_t i = 0; i < vector.size(); ++i) {
    const double value = (static_cast<double>(vector[i]) - mean) * scale;
    vector[i] =
        static_cast<float>(value * static_cast<double>(gamma_[i]) + static_cast<double>(beta_[i]));
  }
}

void normalize_length(std::span<float> vector) {
  double squares = 0;
  for (const float value : vector)
    squares += static_cast<double>(value) * static_cast<double>(value);
  const double factor = 1 / std::max(std::sqrt(squares), 1e-12);
  for (float& value : vector) value = static_cast<float>(static_cast<double>(value) * factor);
}

}  // namespace nearlite
