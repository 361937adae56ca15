#pragma once

#include <cstdint>
#include <span>

#include "unicode_tables.h"

/// Normalization forms, pattern classes and cluster borders as the reference library has them
/// (tools/make_unicode_forms.py). Every table is sorted by code point.
namespace nearlite::unicode {

/// What `from` falls into: the code point `to` if length is 1, else the parts [to, to + length).
/// Hangul syllables are not listed.
struct Decomposition {
  char32_t from;
  std::uint32_t to;
  std::uint8_t length;
};

struct Composition {
  char32_t first, second, composed;
};

extern const std::span<const CodePointRange> kLetters;        // of the byte-level patterns
extern const std::span<const CodePointRange> kNumbers;        // of the byte-level patterns
extern const std::span<const CodePointRange> kPatternSpaces;  // of the byte-level patterns
extern const std::span<const CodePointRange> kNumeric;        // of the pre-tokenizer Digits
extern const std::span<const CodePointRange>
    kCombiningMarks;  // that the normalizer StripAccents drops
// Grapheme clusters, as far as they matter where a cluster has at most 5 bytes.
extern const std::span<const CodePointRange> kClusterExtend;  // joins what stands before it
extern const std::span<const CodePointRange> kClusterPrepend;
extern const std::span<const CodePointRange> kClusterControl;
extern const std::span<const CodePointRange> kPictographs;
extern const std::span<const CodePointRange> kConjunctConsonants;
extern const std::span<const CodePointRange> kConjunctLinkers;
extern const std::span<const CodePointRange> kConjunctExtend;
extern const std::span<const CodePointRange> kHangulLeading;
extern const std::span<const CodePointRange> kHangulVowels;
extern const std::span<const CodePointRange> kHangulTrailing;
extern const std::span<const MarkRange> kMarkClasses;    // combining classes other than 0
extern const std::span<const Decomposition> kCanonical;  // full ones
extern const std::span<const char32_t> kCanonicalParts;
extern const std::span<const Decomposition>
    kCompatible;  // full ones, where they differ from kCanonical
extern const std::span<const char32_t> kCompatibleParts;
extern const std::span<const Composition> kCompositions;  // sorted by both

}  // namespace nearlite::unicode
