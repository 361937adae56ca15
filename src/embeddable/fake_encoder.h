#pragma once

#include <atomic>
#include <cmath>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "nearlite/encoder/text_encoder.h"

namespace nearlite {

/// A tiny encoder for tests: each word adds a fixed direction that comes from its hash, so any
/// checker can compute the vector of a text, and texts that share words are near each other.
/// Passages are cut after `max_tokens` words.
class FakeEncoder : public TextEncoder {
 public:
  static constexpr std::size_t kDim = 16;

  explicit FakeEncoder(std::string identity = "fake-1", std::size_t max_tokens = 32) {
    info_.name = "test/" + identity;
    info_.identity = std::move(identity);
    info_.dim = kDim;
    info_.max_tokens = max_tokens;
  }

  static std::vector<float> vector_of(std::string_view text, std::string_view identity = "fake-1") {
    std::vector<float> vector(kDim, 0.0F);
    for (const std::string_view word : words_of(text)) {
      std::uint64_t bits = xxh3_64(word, xxh3_64(identity));
      for (float& value : vector) {
        bits = bits * 6364136223846793005ULL + 1442695040888963407ULL;
        value += static_cast<float>(static_cast<double>(bits >> 40) / 8388608.0 - 1.0);
      }
    }
    double sum = 0;
    for (const float value : vector) sum += static_cast<double>(value) * static_cast<double>(value);
    if (sum == 0) vector[0] = 1;
    const auto length = static_cast<float>(std::sqrt(sum == 0 ? 1 : sum));
    for (float& value : vector) value /= length;
    return vector;
  }

  const ModelInfo& info() const override { return info_; }

  EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const override {
    EncodedBatch batch;
    batch.dim = kDim;
    for (const std::string_view text : texts) {
      if (find_invalid_utf8(text)) throw InvalidArgument("the text is not valid UTF-8");
      if (text.find("unencodable") != std::string_view::npos)
        throw InvalidArgument("the model refuses this text");
      const auto vector = vector_of(text, info_.identity);
      batch.vectors.insert(batch.vectors.end(), vector.begin(), vector.end());
      batch.num_tokens += words_of(text).size();
      if (role == TextRole::kDocument) ++documents_encoded;
    }
    if (role == TextRole::kDocument) ++document_calls;
    if (on_encode) on_encode();
    return batch;
  }
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string&) const override {
    return encode(texts, TextRole::kPlain);
  }
  TokenizedText tokenize(std::string_view text) const override {
    TokenizedText tokens;
    tokens.ids.assign(words_of(text).size(), 1);
    return tokens;
  }
  std::vector<Passage> passages(std::string_view text) const override {
    std::vector<Passage> passages;
    std::size_t begin = 0;
    std::size_t count = 0;
    for (const std::string_view word : words_of(text)) {
      if (++count > info_.max_tokens) {
        const auto at = static_cast<std::size_t>(word.data() - text.data());
        passages.push_back({begin, at});
        begin = at;
        count = 1;
      }
    }
    passages.push_back({begin, text.size()});
    return passages;
  }

  mutable std::atomic<std::size_t> documents_encoded{0};
  mutable std::atomic<std::size_t> document_calls{0};
  std::function<void()> on_encode;

 private:
  static std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = text.find_first_not_of(" \n\t.,", at);
      if (begin == std::string_view::npos) break;
      at = std::min(text.find_first_of(" \n\t.,", begin), text.size());
      words.push_back(text.substr(begin, at - begin));
    }
    return words;
  }

  ModelInfo info_;
};

}  // namespace nearlite
