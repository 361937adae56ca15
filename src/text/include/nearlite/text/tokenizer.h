#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// The ids of one text as the model reads them, special tokens ([CLS], [SEP]) included.
struct TokenizedText {
  std::vector<std::int32_t> ids;
  bool truncated = false;  // there was more text than fitted
};

/// What a tokenizer is made of: the names that its file gives, in the order in which they work.
struct TokenizerParts {
  std::vector<std::string> normalizers;
  std::vector<std::string> pre_tokenizers;
  std::string model;  // "WordPiece", "Unigram", "BPE" or "WordLevel"
  std::vector<std::string> post_processors;
};

/// Text to token ids, equal to the Hugging Face `tokenizers` library on the same tokenizer.json.
/// Immutable after load: every method may be called from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The ids of `text`, cut so that at most `max_tokens` remain, special tokens included. Stops
  /// reading early once that many are known. `text` must be valid UTF-8. Throws InvalidArgument if
  /// what was read of it is not, or if max_tokens leaves no room beside the special tokens.
  virtual TokenizedText tokenize(std::string_view text, std::size_t max_tokens) const = 0;

  /// Tokens of `text` without special tokens, counting at most up to `limit` (then `limit` is
  /// returned).
  virtual std::size_t count(std::string_view text, std::size_t limit) const = 0;

  /// Tokens that tokenize() adds to every text.
  virtual std::size_t num_special_tokens() const noexcept = 0;
  /// One more than the largest id: the rows that an embedding table needs.
  virtual std::size_t vocabulary_size() const noexcept = 0;
  /// The token of what the vocabulary does not have; nothing where there is none.
  virtual std::optional<std::int32_t> unknown_id() const noexcept = 0;
  virtual const TokenizerParts& parts() const noexcept = 0;
};

struct TokenizerOptions {
  bool lower_case =
      false;  // sentence_bert_config.json "do_lower_case": lower-case before anything else
  bool special_tokens = true;  // that the post-processor puts around every text
};

/// Reads a tokenizer.json. Its "truncation" and "padding" blocks are ignored: the
/// sentence-transformers configuration decides (all-MiniLM-L6-v2 carries 128 there while the model
/// reads 256). Throws NotFound, or CorruptData that names the component that is unknown or the
/// value that is wrong.
std::unique_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& tokenizer_json,
                                                const TokenizerOptions& options = {});

/// WordPiece from a vocab.txt, for folders without tokenizer.json.
std::unique_ptr<const Tokenizer> load_vocab_tokenizer(const std::filesystem::path& vocab_txt,
                                                      bool lower_case);

}  // namespace nearlite
