#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vocabulary.h"

namespace nearlite {

/// Buffers of a model, kept from word to word.
struct ModelScratch {
  struct Step {  // of the best way that ends at a byte
    double score = 0;
    std::int32_t id = -1;
    std::uint32_t begin = 0;
  };
  struct Symbol {
    std::int32_t id = 0;
    std::int32_t previous = -1;
    std::int32_t next = -1;
    std::uint32_t size = 0;  // bytes; 0: merged into the one before it
  };
  struct Merge {
    std::uint32_t rank = 0;
    std::int32_t position = 0;
    std::int32_t id = 0;
  };
  std::vector<Step> steps;
  std::vector<Symbol> symbols;
  std::vector<Merge> merges;
  std::string text;
};

/// Words to token ids, as one of the models of a tokenizer.json does it. Immutable; may be used by
/// several threads, each with its own scratch.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  /// Appends the ids of a word, which is not empty and valid UTF-8.
  virtual void append_ids(std::string_view word, ModelScratch& scratch,
                          std::vector<std::int32_t>& ids) const = 0;
};

std::unique_ptr<const SubwordModel> wordpiece_model(const std::vector<VocabularyEntry>& entries,
                                                    std::string continuation,
                                                    std::int32_t unknown_id,
                                                    std::size_t max_word_characters);

/// Whole words, or the unknown token.
std::unique_ptr<const SubwordModel> word_level_model(const std::vector<VocabularyEntry>& entries,
                                                     std::int32_t unknown_id);

/// The place of an entry is its id; of equal tokens the last one counts.
struct UnigramDefinition {
  std::vector<std::pair<std::string, double>> vocabulary;  // tokens and their log probabilities
  std::int32_t unknown_id = 0;
  bool byte_fallback = false;  // unknown characters become <0xNN>, if all of their bytes are tokens
};
std::unique_ptr<const SubwordModel> unigram_model(UnigramDefinition definition);

struct BpeDefinition {
  std::vector<VocabularyEntry> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // first rank first
  std::optional<std::int32_t> unknown_id;                   // none: unknown characters vanish
  std::string continuation;                                 // before every character but the first
  std::string end_of_word;                                  // behind the last one
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  // a word that is a token is not built from merges
};
/// Throws CorruptData if a merge joins, or makes, what is no token.
std::unique_ptr<const SubwordModel> bpe_model(BpeDefinition definition);

}  // namespace nearlite
