#include "character_map.h"

#include <algorithm>
#include <map>

#include "unicode_tables.h"

namespace nearlite {
namespace {

using Entry = CharacterMap::Entry;

constexpr char32_t kDottedCapitalI = 0x130;  // the only one whose lower case has two code points
constexpr std::uint32_t kPageSize = 256;

void append_lower_case(std::u32string& text, char32_t code) {
  if (code == kDottedCapitalI) {
    text += U"i\u0307";
    return;
  }
  const auto* run = unicode::find_range(unicode::kLowerCase, code);
  if (run != nullptr && (code - run->first) % run->step == 0) {
    code = static_cast<char32_t>(static_cast<std::int32_t>(code) + run->delta);
  }
  text += code;
}

/// Canonical decomposition without the marks that are stripped.
void append_stripped(std::u32string& text, char32_t code) {
  if (unicode::contains(unicode::kStripped, code)) return;
  if (code >= unicode::kFirstHangul && code <= unicode::kLastHangul) {
    text += hangul_letters(code);
    return;
  }
  const auto& table = unicode::kReplacements;
  const auto found = std::lower_bound(table.begin(), table.end(), code,
                                      [](const auto& entry, char32_t c) { return entry.from < c; });
  if (found == table.end() || found->from != code) {
    text += code;
  } else if (found->length == 1) {
    text += static_cast<char32_t>(found->to);
  } else {
    for (const char32_t part : unicode::kReplacementParts.subspan(found->to, found->length))
      text += part;
  }
}

/// Applies `step` to every character.
template <typename Step>
void transform(std::u32string& text, Step step) {
  std::u32string result;
  for (const char32_t code : text) step(result, code);
  text = std::move(result);
}

}  // namespace

/// Fills the pages; pages that are alike all over are kept once.
struct CharacterMap::Builder {
  explicit Builder(CharacterMap& target) : map(target) {
    map.pages_.assign(unicode::kNumCodePoints / kPageSize, uniform_page(Entry()));
  }

  std::uint32_t uniform_page(Entry entry) {
    const auto [at, is_new] = uniform.try_emplace(
        entry.value() << 4U | static_cast<std::uint32_t>(entry.kind()), map.entries_.size());
    if (is_new) map.entries_.insert(map.entries_.end(), kPageSize, entry);
    return static_cast<std::uint32_t>(at->second);
  }

  void set(char32_t code, Entry entry) {
    std::uint32_t& page = map.pages_[code / kPageSize];
    const bool is_shared = std::any_of(uniform.begin(), uniform.end(),
                                       [&](const auto& u) { return u.second == page; });
    if (is_shared) {
      const Entry shared = map.entries_[page];
      page = static_cast<std::uint32_t>(map.entries_.size());
      map.entries_.insert(map.entries_.end(), kPageSize, shared);
    }
    map.entries_[page + code % kPageSize] = entry;
  }

  void paint(char32_t first, char32_t last, Entry entry) {
    for (char32_t code = first; code <= last;) {
      if (code % kPageSize == 0 && last - code >= kPageSize - 1) {
        map.pages_[code / kPageSize] = uniform_page(entry);
        code += kPageSize;
      } else {
        set(code++, entry);
      }
    }
  }

  /// All steps for one code point, in the order of the reference.
  Entry evaluate(char32_t code) {
    const NormalizerOptions& options = map.options_;
    std::u32string text(1, code);
    if (options.lower_case_first) transform(text, append_lower_case);
    if (options.clean_text) {
      transform(text, [](std::u32string& out, char32_t c) {
        if (unicode::contains(unicode::kDeleted, c)) return;
        out += unicode::contains(unicode::kWhiteSpace, c) ? U' ' : c;
      });
    }
    if (options.handle_chinese_chars) {
      transform(text, [](std::u32string& out, char32_t c) {
        const bool is_ideograph = unicode::contains(unicode::kIdeographs, c);
        if (is_ideograph) out += U' ';
        out += c;
        if (is_ideograph) out += U' ';
      });
    }
    const bool was_there = !text.empty();
    if (options.strip_accents) transform(text, append_stripped);
    if (options.lower_case) transform(text, append_lower_case);
    if (text.empty()) {
      const bool is_barrier = was_there && unicode::contains(unicode::kStrippedStarters, code);
      return is_barrier ? CharacterKind::kBarrier : CharacterKind::kDelete;
    }
    return encode(code, text);
  }

  Entry encode(char32_t code, const std::u32string& text) {
    if (text.size() == 1) {
      const Entry kind = map.pre_tokenized(text[0]);
      if (text[0] == code || (text[0] == U' ' && map.options_.clean_text)) return kind;
      if (kind.kind() == CharacterKind::kKeep) return {CharacterKind::kMap, text[0]};
    }
    if (text.size() == 3 && text[0] == U' ' && text[1] == code && text[2] == U' ')
      return CharacterKind::kAlone;
    const auto start = static_cast<std::uint32_t>(map.sequences_.size());
    map.sequences_ += text;
    return {CharacterKind::kSequence, start << 4U | static_cast<std::uint32_t>(text.size())};
  }

  void evaluate_range(char32_t first, char32_t last) {
    for (char32_t code = first; code <= last; ++code) set(code, evaluate(code));
  }

  CharacterMap& map;
  std::map<std::uint32_t, std::size_t> uniform;  // bits of the entry -> its page
};

std::u32string hangul_letters(char32_t syllable) {
  const char32_t index = syllable - unicode::kFirstHangul;
  std::u32string letters{0x1100 + index / 588, 0x1161 + index % 588 / 28};
  if (index % 28 != 0) letters.push_back(0x11A7 + index % 28);
  return letters;
}

CharacterMap::Entry CharacterMap::pre_tokenized(char32_t code) const noexcept {
  if (unicode::contains(unicode::kWhiteSpace, code)) return CharacterKind::kSpace;
  if (unicode::contains(unicode::kPunctuation, code)) return CharacterKind::kAlone;
  if (options_.strip_accents) {
    const auto* mark = unicode::find_range(unicode::kKeptMarks, code);
    if (mark != nullptr) return {CharacterKind::kMark, mark->combining_class};
  }
  return CharacterKind::kKeep;
}

CharacterMap::CharacterMap(const NormalizerOptions& options) : options_(options) {
  Builder builder(*this);
  // The large ranges first, page by page; characters in them that need more are evaluated below.
  if (options.handle_chinese_chars) {
    for (const auto& range : unicode::kIdeographs)
      builder.paint(range.first, range.last, CharacterKind::kAlone);
  }
  if (options.strip_accents) {
    builder.paint(unicode::kFirstHangul, unicode::kLastHangul, CharacterKind::kHangul);
    for (const auto& range : unicode::kStripped) builder.evaluate_range(range.first, range.last);
    for (const auto& range : unicode::kKeptMarks) builder.evaluate_range(range.first, range.last);
    for (const auto& replacement : unicode::kReplacements)
      builder.evaluate_range(replacement.from, replacement.from);
  }
  if (options.lower_case || options.lower_case_first) {
    builder.evaluate_range(kDottedCapitalI, kDottedCapitalI);
    for (const auto& run : unicode::kLowerCase) builder.evaluate_range(run.first, run.last);
  }
  for (const auto& range : unicode::kPunctuation) builder.evaluate_range(range.first, range.last);
  for (const auto& range : unicode::kWhiteSpace) builder.evaluate_range(range.first, range.last);
  if (options.clean_text) {
    for (const auto& range : unicode::kDeleted)
      builder.paint(range.first, range.last, CharacterKind::kDelete);
  }
}

}  // namespace nearlite
