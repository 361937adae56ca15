#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// The four switches of BertNormalizer, and one of sentence-transformers. All off: text is left as
/// it is.
struct NormalizerOptions {
  bool lower_case_first = false;  // before all the others
  bool clean_text = false;
  bool handle_chinese_chars = false;
  bool strip_accents = false;
  bool lower_case = false;
};

/// What becomes of one code point between raw text and words.
enum class CharacterKind : std::uint8_t {
  kKeep,     // part of a word, unchanged
  kDelete,   // vanishes; the word goes on
  kBarrier,  // vanishes, but combining marks are not reordered across it
  kSpace,    // ends a word; normalized it is a space if text is cleaned, else unchanged
  kAlone,    // ends a word and is a word of its own, unchanged: punctuation, ideographs
  kMap,      // part of a word, as code point value()
  kMark,     // a combining mark that stays; value() is its combining class
  kHangul,   // a syllable that falls into its letters
  kSequence  // several characters: sequence(value())
};

/// BertNormalizer and BertPreTokenizer as one table, since both work character by character: the
/// only look at neighbours, the canonical order of combining marks, is left to the reader of the
/// kinds. Immutable; may be used by several threads.
class CharacterMap {
 public:
  class Entry {
   public:
    constexpr Entry(CharacterKind kind = CharacterKind::kKeep, std::uint32_t value = 0)
        : bits_(value << 4U | static_cast<std::uint32_t>(kind)) {}
    CharacterKind kind() const noexcept { return static_cast<CharacterKind>(bits_ & 15U); }
    std::uint32_t value() const noexcept { return bits_ >> 4U; }

   private:
    std::uint32_t bits_;
  };

  explicit CharacterMap(const NormalizerOptions& options);

  /// code: below 0x110000.
  Entry at(char32_t code) const noexcept {
    return entries_.data()[pages_.data()[code >> 8U] + (code & 0xFFU)];
  }

  /// The normalized characters of a kSequence entry; U+0020 in it is a space. They are not to be
  /// looked up with at(), which would normalize them again, but with pre_tokenized().
  std::u32string_view sequence(std::uint32_t value) const noexcept {
    return std::u32string_view(sequences_).substr(value >> 4U, value & 15U);
  }
  /// The kind of a normalized character: kSpace, kAlone, kMark (with its class) or kKeep.
  Entry pre_tokenized(char32_t code) const noexcept;

  const NormalizerOptions& options() const noexcept { return options_; }

 private:
  struct Builder;
  NormalizerOptions options_;
  std::vector<std::uint32_t> pages_;  // [0x1100]: where the page of 256 entries begins
  std::vector<Entry> entries_;
  std::u32string sequences_;
};

/// The two or three letters of a Hangul syllable.
std::u32string hangul_letters(char32_t syllable);

}  // namespace nearlite
