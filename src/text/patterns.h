#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// A part of a text that a pattern matches, or that lies between two of its matches.
struct PatternPart {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_match = false;
};

/// What a pre-tokenizer splits at. Immutable; may be used by several threads.
class Pattern {
 public:
  virtual ~Pattern() = default;
  /// Appends the parts of `text` (valid UTF-8) in order; together they are all of it.
  virtual void find_parts(std::string_view text, std::vector<PatternPart>& parts) const = 0;
  /// Whether a single space between ASCII letters or digits always begins a part or is one, and
  /// what stands before it is cut the same whatever follows.
  virtual bool separates_words() const noexcept = 0;
};

/// Which characters are matches, each on its own.
enum class CharacterClass {
  kWhiteSpace,   // as Rust sees it
  kPunctuation,  // as BertPreTokenizer sees it
  kNumeric,      // of the pre-tokenizer Digits
};
std::unique_ptr<const Pattern> class_pattern(CharacterClass character_class);
/// Occurrences of a text that is not empty.
std::unique_ptr<const Pattern> literal_pattern(std::string text);
/// \w+|[^\w\s]+ of the pre-tokenizer Whitespace.
std::unique_ptr<const Pattern> word_pattern();
/// The pattern of byte-level models since GPT-2.
std::unique_ptr<const Pattern> byte_level_pattern();
/// A regular expression out of a fixed list (regex_pattern_names); nothing for another.
std::unique_ptr<const Pattern> regex_pattern(std::string_view regex);

}  // namespace nearlite
