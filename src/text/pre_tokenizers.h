#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "patterns.h"

namespace nearlite {

/// A normalized text and the words that it falls into, in order.
struct Words {
  struct Word {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool is_first = false;  // begins where the text that was given to the tokenizer begins
  };
  std::string text;
  std::vector<Word> words;
};

/// Buffers of the pre-tokenizers, kept from one to the next.
struct WordScratch {
  Words other;
  std::vector<PatternPart> parts;
};

/// One pre-tokenizer of a tokenizer.json. Immutable; may be used by several threads.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Splits, and may change, each word.
  virtual void apply(Words& words, WordScratch& scratch) const = 0;
  /// As Pattern::separates_words().
  virtual bool separates_words() const noexcept = 0;
  /// False if a word may take the space behind it along.
  virtual bool is_local() const noexcept { return true; }
};

/// What becomes of the matches of a pattern, as the reference names it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// Splits each word at the matches of a pattern; with `invert` at what lies between them.
std::unique_ptr<const PreTokenizer> split_pre_tokenizer(std::unique_ptr<const Pattern> pattern,
                                                        SplitBehavior behavior, bool invert);

enum class PrependScheme { kAlways, kFirst, kNever };
/// Spaces become `replacement`, which also goes before each word (or the first one); then each word
/// is split before every replacement.
std::unique_ptr<const PreTokenizer> metaspace_pre_tokenizer(std::string replacement,
                                                            PrependScheme scheme, bool split);

/// Bytes become the 256 characters of byte-level models, after a split by their pattern.
std::unique_ptr<const PreTokenizer> byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex);

}  // namespace nearlite
