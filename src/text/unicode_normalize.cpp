#include "unicode_normalize.h"

#include <algorithm>
#include <optional>

#include "character_map.h"  // hangul_letters
#include "mark_run.h"
#include "nearlite/base/utf8.h"
#include "unicode_forms.h"

namespace nearlite {
namespace {

constexpr char32_t kFirstWithDecomposition = 0xA0;  // of either kind
constexpr char32_t kFirstMark = 0x300;
constexpr char32_t kLeading = 0x1100;
constexpr char32_t kVowel = 0x1161;
constexpr char32_t kTrailing = 0x11A7;  // one before the first
constexpr char32_t kNumLeading = 19;
constexpr char32_t kNumVowels = 21;
constexpr char32_t kNumTrailing = 28;

std::uint32_t combining_class(char32_t code) noexcept {
  if (code < kFirstMark) return 0;
  const auto* range = unicode::find_range(unicode::kMarkClasses, code);
  return range == nullptr ? 0 : range->combining_class;
}

const unicode::Decomposition* find(std::span<const unicode::Decomposition> table,
                                   char32_t code) noexcept {
  const auto found = std::lower_bound(table.begin(), table.end(), code,
                                      [](const auto& entry, char32_t c) { return entry.from < c; });
  return found != table.end() && found->from == code ? &*found : nullptr;
}

/// Decomposed characters, marks in canonical order.
class Decomposer {
 public:
  explicit Decomposer(bool compatible) : compatible_(compatible) {}

  void add(char32_t code) {
    if (code < kFirstWithDecomposition) return put(code);
    if (code >= unicode::kFirstHangul && code <= unicode::kLastHangul) {
      for (const char32_t letter : hangul_letters(code)) put(letter);
      return;
    }
    if (compatible_) {
      if (const auto* entry = find(unicode::kCompatible, code)) {
        return put_all(*entry, unicode::kCompatibleParts);
      }
    }
    if (const auto* entry = find(unicode::kCanonical, code)) {
      return put_all(*entry, unicode::kCanonicalParts);
    }
    put(code);
  }

  std::u32string finish() {
    settle();
    return std::move(result_);
  }

 private:
  void put_all(const unicode::Decomposition& entry, std::span<const char32_t> parts) {
    if (entry.length == 1) return put(entry.to);
    for (const char32_t part : parts.subspan(entry.to, entry.length)) put(part);
  }
  void put(char32_t code) {
    const std::uint32_t mark_class = combining_class(code);
    if (mark_class != 0) return marks_.add(code, mark_class);
    settle();
    result_ += code;
  }
  void settle() {
    if (!marks_.empty()) marks_.move_to([this](char32_t code) { result_ += code; });
  }

  bool compatible_;
  MarkRun marks_;
  std::u32string result_;
};

std::optional<char32_t> composed(char32_t first, char32_t second) noexcept {
  if (first - kLeading < kNumLeading && second - kVowel < kNumVowels) {
    return unicode::kFirstHangul +
           ((first - kLeading) * kNumVowels + second - kVowel) * kNumTrailing;
  }
  const bool is_open_syllable = first >= unicode::kFirstHangul && first <= unicode::kLastHangul &&
                                (first - unicode::kFirstHangul) % kNumTrailing == 0;
  if (is_open_syllable && second > kTrailing && second - kTrailing < kNumTrailing) {
    return first + second - kTrailing;
  }
  const auto key = [](const unicode::Composition& entry) {
    return std::pair(entry.first, entry.second);
  };
  const auto& table = unicode::kCompositions;
  const auto found =
      std::lower_bound(table.begin(), table.end(), std::pair(first, second),
                       [&](const auto& entry, const auto& k) { return key(entry) < k; });
  if (found == table.end() || key(*found) != std::pair(first, second)) return std::nullopt;
  return found->composed;
}

/// UAX 15: a character composes with the last starter unless one of its class or above, or another
/// starter, stands between them.
std::u32string compose(std::u32string_view text) {
  std::u32string result;
  std::optional<std::size_t> starter;
  std::int32_t last_class = -1;  // of what stands behind the starter; -1: nothing
  for (const char32_t code : text) {
    const auto own_class = static_cast<std::int32_t>(combining_class(code));
    if (starter && last_class < own_class) {
      if (const auto both = composed(result[*starter], code)) {
        result[*starter] = *both;
        continue;
      }
    }
    if (own_class == 0) {
      starter = result.size();
      last_class = -1;
    } else {
      last_class = own_class;
    }
    result += code;
  }
  return result;
}

}  // namespace

std::string normalized_form(std::string_view text, NormalizationForm form) {
  const bool is_ascii = std::all_of(text.begin(), text.end(),
                                    [](char byte) { return static_cast<signed char>(byte) >= 0; });
  if (is_ascii) return std::string(text);
  Decomposer decomposer(form == NormalizationForm::kNfkd || form == NormalizationForm::kNfkc);
  for (std::size_t at = 0; at < text.size();) decomposer.add(next_code_point(text, at));
  std::u32string characters = decomposer.finish();
  if (form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc) {
    characters = compose(characters);
  }
  std::string result;
  result.reserve(text.size() + 16);
  for (const char32_t code : characters) append_utf8(result, code);
  return result;
}

}  // namespace nearlite
