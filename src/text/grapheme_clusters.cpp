#include "grapheme_clusters.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "nearlite/base/utf8.h"
#include "unicode_forms.h"

namespace nearlite {
namespace {

enum Class : std::uint16_t {
  kOther = 0,
  kControl = 1,
  kExtend = 2,
  kPrepend = 4,
  kPictograph = 8,
  kConsonant = 16,
  kLinker = 32,
  kLinkExtend = 64,
  kLeading = 128,
  kVowel = 256,
  kTrailing = 512,
  kSyllable = 1024,  // one that is not open
};
constexpr unsigned kOpenSyllable =
    kVowel | kSyllable;  // behaves as a vowel, but follows a leading letter
constexpr char32_t kJoiner = 0x200D;

/// Classes of all code points, pages of 256 that are alike kept once.
class ClassTable {
 public:
  ClassTable() {
    using namespace unicode;
    std::vector<std::uint16_t> classes(kNumCodePoints);
    const auto mark = [&](std::span<const CodePointRange> ranges, unsigned value) {
      for (const CodePointRange& range : ranges) {
        for (char32_t code = range.first; code <= range.last; ++code) {
          classes[code] = static_cast<std::uint16_t>(classes[code] | value);
        }
      }
    };
    mark(kClusterControl, kControl);
    mark(kClusterExtend, kExtend);
    mark(kClusterPrepend, kPrepend);
    mark(kPictographs, kPictograph);
    mark(kConjunctConsonants, kConsonant);
    mark(kConjunctLinkers, kLinker);
    mark(kConjunctExtend, kLinkExtend);
    mark(kHangulLeading, kLeading);
    mark(kHangulVowels, kVowel);
    mark(kHangulTrailing, kTrailing);
    for (char32_t code = kFirstHangul; code <= kLastHangul; ++code) {
      const bool is_open = (code - kFirstHangul) % 28 == 0;
      classes[code] = static_cast<std::uint16_t>(is_open ? kOpenSyllable : kSyllable | kTrailing);
    }
    pages_.resize(kNumCodePoints / kPage);
    for (std::size_t page = 0; page < pages_.size(); ++page) {
      const auto* begin = classes.data() + page * kPage;
      const bool like_last = page > 0 && std::equal(begin, begin + kPage, begin - kPage);
      if (!like_last) {
        last_ = static_cast<std::uint32_t>(entries_.size());
        entries_.insert(entries_.end(), begin, begin + kPage);
      }
      pages_[page] = last_;
    }
  }

  unsigned at(char32_t code) const noexcept {
    return entries_[pages_[code / kPage] + code % kPage];
  }

 private:
  static constexpr std::size_t kPage = 256;
  std::vector<std::uint32_t> pages_;
  std::vector<std::uint16_t> entries_;
  std::uint32_t last_ = 0;
};

bool joins_as_hangul(unsigned before, unsigned next) noexcept {
  if ((before & kLeading) != 0) return (next & (kLeading | kVowel | kSyllable)) != 0;
  // What follows a vowel or trailing letter is a letter, never a syllable.
  if ((next & kSyllable) != 0) return false;
  if ((before & kVowel) != 0) return (next & (kVowel | kTrailing)) != 0;
  return (before & kTrailing) != 0 && (next & kTrailing) != 0;
}

}  // namespace

std::size_t cluster_end(std::string_view text, std::size_t at) noexcept {
  static const ClassTable table;
  std::size_t end = at;
  char32_t code = next_code_point(text, end);
  unsigned before = table.at(code);
  if (code == U'\r' && end < text.size() && text[end] == '\n') return end + 1;
  if ((before & kControl) != 0) return end;
  bool is_pictograph = (before & kPictograph) != 0;  // and marks
  bool is_joined = false;                            // and a joiner at its end
  bool is_consonant = (before & kConsonant) != 0;    // and marks that may stand in a conjunct
  bool is_linked = false;                            // among them a linker
  while (end < text.size()) {
    std::size_t behind = end;
    code = next_code_point(text, behind);
    const unsigned next = table.at(code);
    if ((next & kControl) != 0) return end;
    if ((next & kExtend) != 0) {
      is_joined = is_pictograph && code == kJoiner;
      is_linked = is_consonant && (is_linked || (next & kLinker) != 0);
      is_consonant = is_consonant && (next & kLinkExtend) != 0;
      is_linked = is_linked && is_consonant;
    } else {
      const bool joins = (before & kPrepend) != 0 || joins_as_hangul(before, next) ||
                         (is_joined && (next & kPictograph) != 0) ||
                         (is_linked && (next & kConsonant) != 0);
      if (!joins) return end;
      is_pictograph = (next & kPictograph) != 0;
      is_consonant = (next & kConsonant) != 0;
      is_joined = is_linked = false;
    }
    before = next;
    end = behind;
  }
  return end;
}

}  // namespace nearlite
