#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "model_folder.h"
#include "nearlite/encoder/text_encoder.h"
#include "worker_pool.h"

namespace nearlite {

/// The tokenizer, the transformer and what comes after it, read at their first use. A failure is
/// thrown by each call until the parts can be read.
class SentenceEncoder final : public TextEncoder {
 public:
  SentenceEncoder(ModelFolder folder, const EncoderOptions& options);
  ~SentenceEncoder() override;

  /// Reads the tokenizer and the weights now.
  void load() const;
  void prepare() const override { load(); }

  const ModelInfo& info() const override { return folder_.info; }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const override;
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string& prompt_name) const override;
  TokenizedText tokenize(std::string_view text) const override;
  std::optional<std::int32_t> unknown_token() const override { return tokenizer().unknown_id(); }
  TokenizerParts tokenizer_parts() const override { return tokenizer().parts(); }
  std::vector<Passage> passages(std::string_view text) const override;

 private:
  struct Network;
  struct Workspaces;
  struct Batch;

  const Tokenizer& tokenizer() const;
  const Network& network() const;
  const std::string& prompt_of(TextRole role) const;
  EncodedBatch encode_behind(const std::string& prompt,
                             std::span<const std::string_view> texts) const;
  void tokenize_all(const std::string& prompt, std::span<const std::string_view> texts,
                    Batch& batch) const;
  void run_table(const Batch& batch, std::vector<float>& vectors) const;
  void run_network(const Batch& batch, std::size_t prompt_tokens,
                   std::vector<float>& vectors) const;

  ModelFolder folder_;
  mutable std::mutex load_mutex_;
  mutable std::atomic<const Tokenizer*> ready_tokenizer_{
      nullptr};  // a forked child never waits for the mutex
  mutable std::atomic<const Network*> ready_network_{nullptr};
  mutable std::unique_ptr<const Tokenizer> tokenizer_;
  mutable std::unique_ptr<const Network> network_;
  std::unique_ptr<Workspaces> workspaces_;
  mutable WorkerPool pool_;
};

}  // namespace nearlite
