#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "nearlite/base/joined_calls.h"
#include "nearlite/encoder/text_encoder.h"

namespace nearlite {

/// Joins the texts of callers that wait at the same time into one batch of the model, which reads
/// its weights once per batch. A call that meets no other one is not delayed: there is no timer.
/// Vectors are those of the model, bit for bit; so are token counts, if the model tells those of
/// each text. For any number of threads.
class BatchingEncoder : public TextEncoder {
 public:
  /// most_texts: in a joined batch; at_once: batches that run side by side (0: half
  /// as many as processors, since callers have other work between their texts).
  explicit BatchingEncoder(std::shared_ptr<const TextEncoder> inner, std::size_t most_texts = 64,
                           std::size_t at_once = 0);
  ~BatchingEncoder() override;

  const ModelInfo& info() const override { return inner_->info(); }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const override;
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string& prompt_name) const override {
    return inner_->encode_with_prompt(texts, prompt_name);
  }
  TokenizedText tokenize(std::string_view text) const override { return inner_->tokenize(text); }
  std::vector<Passage> passages(std::string_view text) const override {
    return inner_->passages(text);
  }

  std::optional<std::int32_t> unknown_token() const override { return inner_->unknown_token(); }
  TokenizerParts tokenizer_parts() const override { return inner_->tokenizer_parts(); }

  /// Calls that wait for a place.
  std::size_t num_waiting() const;

 private:
  struct Call;
  void encode_together(const JoinedCalls<Call>::Batch& batch) const;
  void add_tokens(Call& call, std::size_t text_index, const EncodedBatch& all,
                  std::size_t batch_index) const;

  std::shared_ptr<const TextEncoder> inner_;
  std::size_t most_texts_;
  std::unique_ptr<JoinedCalls<Call>> calls_;
};

}  // namespace nearlite
