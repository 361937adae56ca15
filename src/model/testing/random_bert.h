// For tests of this layer and of the encoder: a safetensors writer of our own, small BERT
// checkpoints with random weights, and a plain reference in double precision that shares no code
// with the product.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "nearlite_test/temporary_folder.h"

namespace nearlite::testing {

struct NamedTensor {
  std::string name;
  std::vector<std::size_t> shape;
  std::vector<float> values;
};

/// header + data as a safetensors file holds them, without any check: tests write damaged files
/// with it too.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

inline void write_file(const std::filesystem::path& file, const std::string& content) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

inline void write_safetensors(const std::filesystem::path& file,
                              const std::vector<NamedTensor>& tensors) {
  std::string header = "{";
  std::string data;
  for (const NamedTensor& tensor : tensors) {
    if (header.size() > 1) header += ",";
    header += "\"" + tensor.name + "\":{\"dtype\":\"F32\",\"shape\":[";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      header += (i > 0 ? "," : "") + std::to_string(tensor.shape[i]);
    }
    const std::size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(tensor.values.data()),
                tensor.values.size() * sizeof(float));
    header +=
        "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
  }
  header += "}";
  while (header.size() % 8 != 0) header += " ";  // keeps the floats aligned
  write_file(file, safetensors_bytes(header, data));
}

struct BertShape {
  std::size_t layers = 2;
  std::size_t hidden = 24;
  std::size_t heads = 3;
  std::size_t intermediate = 40;
  std::size_t vocabulary = 50;
  std::size_t positions = 64;
  std::string activation = "gelu";
};

class RandomBert {
 public:
  explicit RandomBert(BertShape shape, unsigned seed = 1, const std::string& prefix = "")
      : shape_(std::move(shape)), prefix_(prefix), random_(seed) {
    const std::size_t h = shape_.hidden;
    add("embeddings.word_embeddings.weight", {shape_.vocabulary, h}, 1.0);
    add("embeddings.position_embeddings.weight", {shape_.positions, h}, 0.5);
    add("embeddings.token_type_embeddings.weight", {2, h}, 0.5);
    add_norm("embeddings.LayerNorm");
    for (std::size_t i = 0; i < shape_.layers; ++i) {
      const std::string layer = "encoder.layer." + std::to_string(i) + ".";
      for (const char* part : {"query", "key", "value"}) {
        add_linear(layer + "attention.self." + part, h, h);
      }
      add_linear(layer + "attention.output.dense", h, h);
      add_norm(layer + "attention.output.LayerNorm");
      add_linear(layer + "intermediate.dense", h, shape_.intermediate);
      add_linear(layer + "output.dense", shape_.intermediate, h);
      add_norm(layer + "output.LayerNorm");
    }
  }

  std::vector<NamedTensor>& tensors() { return tensors_; }
  const BertShape& shape() const { return shape_; }

  std::string config_json() const {
    const auto number = [](std::size_t value) { return std::to_string(value); };
    return R"({"model_type": "bert", "num_hidden_layers": )" + number(shape_.layers) +
           R"(, "hidden_size": )" + number(shape_.hidden) + R"(, "num_attention_heads": )" +
           number(shape_.heads) + R"(, "intermediate_size": )" + number(shape_.intermediate) +
           R"(, "vocab_size": )" + number(shape_.vocabulary) + R"(, "max_position_embeddings": )" +
           number(shape_.positions) +
           R"(, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": ")" +
           shape_.activation + R"("})";
  }

  void write(const std::filesystem::path& folder) const {
    write_safetensors(folder / "model.safetensors", tensors_);
    write_file(folder / "config.json", config_json());
  }

  /// The last hidden layer, [ids.size()][hidden], straight from the definition in double precision.
  std::vector<std::vector<double>> reference(const std::vector<std::int32_t>& ids) const {
    const std::size_t h = shape_.hidden;
    Rows x(ids.size(), Row(h));
    for (std::size_t t = 0; t < ids.size(); ++t) {
      for (std::size_t i = 0; i < h; ++i) {
        x[t][i] =
            at("embeddings.word_embeddings.weight", static_cast<std::size_t>(ids[t]) * h + i) +
            at("embeddings.position_embeddings.weight", t * h + i) +
            at("embeddings.token_type_embeddings.weight", i);
      }
    }
    layer_norm(x, "embeddings.LayerNorm");
    for (std::size_t i = 0; i < shape_.layers; ++i) {
      const std::string layer = "encoder.layer." + std::to_string(i) + ".";
      Rows attended =
          linear(attention(x, layer + "attention.self."), layer + "attention.output.dense");
      add(x, attended);
      layer_norm(x, layer + "attention.output.LayerNorm");
      Rows inner = linear(x, layer + "intermediate.dense");
      for (Row& row : inner) {
        for (double& value : row) value = activation(value);
      }
      add(x, linear(inner, layer + "output.dense"));
      layer_norm(x, layer + "output.LayerNorm");
    }
    return x;
  }

 private:
  using Row = std::vector<double>;
  using Rows = std::vector<Row>;

  void add(const std::string& name, std::vector<std::size_t> shape, double deviation,
           double mean = 0) {
    std::size_t count = 1;
    for (const std::size_t size : shape) count *= size;
    std::normal_distribution<double> normal(mean, deviation);
    NamedTensor tensor{prefix_ + name, std::move(shape), std::vector<float>(count)};
    for (float& value : tensor.values) value = static_cast<float>(normal(random_));
    index_[name] = tensors_.size();
    tensors_.push_back(std::move(tensor));
  }
  void add_linear(const std::string& name, std::size_t in, std::size_t out) {
    add(name + ".weight", {out, in}, 1.5 / std::sqrt(static_cast<double>(in)));
    add(name + ".bias", {out}, 0.2);
  }
  void add_norm(const std::string& name) {
    add(name + ".weight", {shape_.hidden}, 0.1, 1.0);
    add(name + ".bias", {shape_.hidden}, 0.1);
  }

  double at(const std::string& name, std::size_t index) const {
    return tensors_[index_.at(name)].values[index];
  }

  Rows linear(const Rows& x, const std::string& name) const {
    const NamedTensor& weights = tensors_[index_.at(name + ".weight")];
    const std::size_t out = weights.shape[0];
    const std::size_t in = weights.shape[1];
    Rows y(x.size(), Row(out));
    for (std::size_t t = 0; t < x.size(); ++t) {
      for (std::size_t o = 0; o < out; ++o) {
        y[t][o] = at(name + ".bias", o);
        for (std::size_t i = 0; i < in; ++i) {
          y[t][o] += x[t][i] * static_cast<double>(weights.values[o * in + i]);
        }
      }
    }
    return y;
  }

  void layer_norm(Rows& x, const std::string& name) const {
    for (Row& row : x) {
      double mean = 0;
      for (const double value : row) mean += value / static_cast<double>(row.size());
      double variance = 0;
      for (const double value : row) {
        variance += (value - mean) * (value - mean) / static_cast<double>(row.size());
      }
      for (std::size_t i = 0; i < row.size(); ++i) {
        row[i] = (row[i] - mean) / std::sqrt(variance + 1e-12) * at(name + ".weight", i) +
                 at(name + ".bias", i);
      }
    }
  }

  Rows attention(const Rows& x, const std::string& name) const {
    const Rows q = linear(x, name + "query");
    const Rows k = linear(x, name + "key");
    const Rows v = linear(x, name + "value");
    const std::size_t head_dim = shape_.hidden / shape_.heads;
    Rows result(x.size(), Row(shape_.hidden));
    for (std::size_t head = 0; head < shape_.heads; ++head) {
      const std::size_t first = head * head_dim;
      for (std::size_t t = 0; t < x.size(); ++t) {
        Row weights(x.size());
        double sum = 0;
        for (std::size_t s = 0; s < x.size(); ++s) {
          double score = 0;
          for (std::size_t d = first; d < first + head_dim; ++d) score += q[t][d] * k[s][d];
          weights[s] = std::exp(score / std::sqrt(static_cast<double>(head_dim)));
          sum += weights[s];
        }
        for (std::size_t s = 0; s < x.size(); ++s) {
          for (std::size_t d = first; d < first + head_dim; ++d) {
            result[t][d] += weights[s] / sum * v[s][d];
          }
        }
      }
    }
    return result;
  }

  double activation(double x) const {
    if (shape_.activation == "relu") return x > 0 ? x : 0;
    if (shape_.activation == "gelu") return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }

  static void add(Rows& x, const Rows& y) {
    for (std::size_t t = 0; t < x.size(); ++t) {
      for (std::size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
    }
  }

  BertShape shape_;
  std::string prefix_;
  std::mt19937 random_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::size_t> index_;
};

}  // namespace nearlite::testing
