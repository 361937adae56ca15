#pragma once

#include <unistd.h>

#include <algorithm>
#include <cctype>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/store.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {

/// A temporary folder that makes files and databases.
class DatabaseFolder : public TemporaryFolder {
 public:
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path() / name, std::ios::binary) << text;
    return path() / name;
  }
  std::filesystem::path database(const std::string& name, const std::string& sql) const {
    Connection db = Connection::open(path() / name, true);
    db.execute("PRAGMA synchronous = OFF");  // what is lost with the power is no loss here
    db.execute(sql);
    return path() / name;
  }
  /// All files below, relative, sorted.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path())) {
      if (entry.is_regular_file())
        names.push_back(entry.path().lexically_relative(path()).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
};

/// Counts words into 512 buckets: texts with common words are near each other. One passage per
/// text, no model needed.
class WordCountEncoder : public TextEncoder {
 public:
  static constexpr std::size_t kDim = 512;

  explicit WordCountEncoder(std::string name = EmbeddableOptions{}.model_name) {
    info_.name = std::move(name);
    info_.identity = "0123456789abcdef0123456789abcdef";
    info_.dim = kDim;
    info_.max_tokens = 256;
    info_.architecture = "words";
  }
  const ModelInfo& info() const override { return info_; }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole /*role*/) const override {
    EncodedBatch batch;
    batch.dim = kDim;
    for (const std::string_view text : texts) {
      const std::vector<float> vector = vector_of(text);
      batch.vectors.insert(batch.vectors.end(), vector.begin(), vector.end());
      batch.num_tokens += 2;
    }
    return batch;
  }
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string& /*prompt_name*/) const override {
    return encode(texts, TextRole::kPlain);
  }
  TokenizedText tokenize(std::string_view /*text*/) const override { return {}; }
  std::vector<Passage> passages(std::string_view text) const override { return {{0, text.size()}}; }

 private:
  static std::vector<float> vector_of(std::string_view text) {
    std::vector<float> vector(kDim, 0.01F);
    std::string word;
    for (const char c : to_lower_ascii(text) + " ") {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
        word += c;
        continue;
      }
      if (!word.empty()) vector[bucket(word)] += 1;
      word.clear();
    }
    float sum = 0;
    for (const float x : vector) sum += x * x;
    for (float& x : vector) x /= std::sqrt(sum);
    return vector;
  }
  static std::size_t bucket(const std::string& word) {
    std::uint32_t hash = 2166136261U;  // FNV-1a
    for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return hash % kDim;
  }

  ModelInfo info_;
};

/// A model that cannot be had.
class MissingEncoder : public TextEncoder {
 public:
  const ModelInfo& info() const override { throw NotFound("there is no model"); }
  EncodedBatch encode(std::span<const std::string_view> /*texts*/,
                      TextRole /*role*/) const override {
    throw NotFound("there is no model");
  }
  EncodedBatch encode_with_prompt(std::span<const std::string_view> /*texts*/,
                                  const std::string& /*prompt_name*/) const override {
    throw NotFound("there is no model");
  }
  TokenizedText tokenize(std::string_view /*text*/) const override {
    throw NotFound("there is no model");
  }
  std::vector<Passage> passages(std::string_view /*text*/) const override {
    throw NotFound("there is no model");
  }
};

}  // namespace nearlite
