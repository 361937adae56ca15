#pragma once

#include <cstdint>
#include <span>

/// The character classes and mappings of the reference library, all probed from it
/// (tools/make_unicode_tables.py): they follow several Unicode versions and no other library has
/// exactly these. Every table is sorted by code point.
namespace nearlite::unicode {

struct CodePointRange {
  char32_t first, last;
};

/// Combining marks that strip_accents leaves, with their canonical combining class (never 0).
struct MarkRange {
  char32_t first, last;
  std::uint8_t combining_class;
};

/// first, first + step, ... last are lower-cased by adding delta.
struct LowerCaseRun {
  char32_t first, last;
  std::uint8_t step;
  std::int32_t delta;
};

/// What canonical decomposition without stripped marks makes of `from`: the code point `to` if
/// length is 1, else kReplacementParts[to .. to + length). Hangul syllables are not listed; their
/// decomposition is computed.
struct Replacement {
  char32_t from;
  std::uint32_t to;
  std::uint8_t length;
};

extern const std::span<const CodePointRange> kDeleted;      // by clean_text, before all else
extern const std::span<const CodePointRange> kWhiteSpace;   // as the pre-tokenizer sees it
extern const std::span<const CodePointRange> kPunctuation;  // as the pre-tokenizer sees it
extern const std::span<const CodePointRange> kIdeographs;   // set apart by handle_chinese_chars
extern const std::span<const CodePointRange> kStripped;     // by strip_accents
extern const std::span<const CodePointRange> kStrippedStarters;  // those of combining class 0
extern const std::span<const CodePointRange>
    kWordCharacters;  // \w, for added tokens that are single words
extern const std::span<const MarkRange> kKeptMarks;
extern const std::span<const LowerCaseRun>
    kLowerCase;  // besides U+0130, which becomes "i" and U+0307
extern const std::span<const Replacement> kReplacements;
extern const std::span<const char32_t> kReplacementParts;

constexpr char32_t kFirstHangul = 0xAC00;
constexpr char32_t kLastHangul = 0xD7A3;
constexpr char32_t kNumCodePoints = 0x110000;

/// The range of `table` that holds the code point, or nullptr.
template <typename Range>
const Range* find_range(std::span<const Range> table, char32_t code) noexcept {
  std::size_t low = 0;
  std::size_t high = table.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (table[middle].last < code) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < table.size() && table[low].first <= code ? &table[low] : nullptr;
}

inline bool contains(std::span<const CodePointRange> table, char32_t code) noexcept {
  return find_range(table, code) != nullptr;
}

}  // namespace nearlite::unicode
