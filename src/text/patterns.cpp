#include "patterns.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "nearlite/base/utf8.h"
#include "unicode_forms.h"

namespace nearlite {
namespace {

enum class Kind : std::uint8_t { kOther, kLetter, kNumber, kSpace };

/// Kinds of all code points as the byte-level patterns see them, in pages of 256.
class KindTable {
 public:
  KindTable() {
    std::vector<Kind> kinds(unicode::kNumCodePoints);
    const auto mark = [&](std::span<const unicode::CodePointRange> ranges, Kind kind) {
      for (const auto& range : ranges) {
        std::fill(kinds.begin() + range.first, kinds.begin() + range.last + 1, kind);
      }
    };
    mark(unicode::kLetters, Kind::kLetter);
    mark(unicode::kNumbers, Kind::kNumber);
    mark(unicode::kPatternSpaces, Kind::kSpace);
    for (std::size_t begin = 0; begin < kinds.size(); begin += kPage) {
      const auto page = kinds.begin() + static_cast<std::ptrdiff_t>(begin);
      const bool like_last =
          begin > 0 && std::equal(page, page + kPage, page - static_cast<std::ptrdiff_t>(kPage));
      if (!like_last) entries_.insert(entries_.end(), page, page + kPage);
      pages_.push_back(entries_.size() - kPage);
    }
  }
  Kind at(char32_t code) const noexcept { return entries_[pages_[code / kPage] + code % kPage]; }

 private:
  static constexpr std::size_t kPage = 256;
  std::vector<std::size_t> pages_;
  std::vector<Kind> entries_;
};

Kind kind_of(char32_t code) noexcept {
  static const KindTable table;
  return table.at(code);
}

/// Reads characters with their kinds, without moving over the end.
struct Reader {
  std::string_view text;

  bool is_over(std::size_t at) const noexcept { return at >= text.size(); }
  Kind kind(std::size_t at) const noexcept {
    std::size_t end = at;
    return kind_of(next_code_point(text, end));
  }
  std::size_t behind(std::size_t at) const noexcept {
    next_code_point(text, at);
    return at;
  }
  bool is(std::size_t at, Kind wanted) const noexcept { return !is_over(at) && kind(at) == wanted; }
  /// Behind the run of characters of one kind, at most `most` of them.
  std::size_t run_end(std::size_t at, Kind wanted,
                      std::size_t most = ~std::size_t{0}) const noexcept {
    for (; most > 0 && is(at, wanted); --most) at = behind(at);
    return at;
  }
  bool is_line_break(std::size_t at) const noexcept {
    return !is_over(at) && (text[at] == '\n' || text[at] == '\r');
  }
};

/// Bytes of the contraction at `at` ('s 't 're 've 'm 'll 'd), or 0.
std::size_t contraction(std::string_view text, std::size_t at, bool any_case) noexcept {
  if (text[at] != '\'') return 0;
  // With any case a long s (U+017F) is an s as well.
  if (any_case && text.substr(at + 1).starts_with("\u017f")) return 3;
  const auto letter = [&](std::size_t i) {
    const char byte = at + i < text.size() ? text[at + i] : '\0';
    return any_case && byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + 32) : byte;
  };
  const char first = letter(1);
  const char second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const bool is_long = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                       (first == 'l' && second == 'l');
  return is_long ? 3 : 0;
}

/// \s+(?!\S)|\s+ for the run of white space [at, end): all of it at the end of the text, else all
/// but its last character, if that leaves any.
std::size_t white_space_match(const Reader& reader, std::size_t at, std::size_t end) noexcept {
  if (reader.is_over(end)) return end;
  std::size_t last = at;
  for (std::size_t next = reader.behind(last); next < end; next = reader.behind(last)) last = next;
  return last > at ? last : end;
}

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::size_t byte_level_match(const Reader& reader, std::size_t at) noexcept {
  if (const std::size_t size = contraction(reader.text, at, false)) return at + size;
  const std::size_t from = reader.text[at] == ' ' ? at + 1 : at;
  if (!reader.is_over(from)) {
    const Kind kind = reader.kind(from);
    if (kind != Kind::kSpace) return reader.run_end(from, kind);
  }
  return white_space_match(reader, at, reader.run_end(at, Kind::kSpace));
}

/// The pattern of cl100k and its followers: contractions in any case, a letter run with one other
/// character before it, at most `max_digits` digits, line breaks behind symbols or white space.
std::size_t later_match(const Reader& reader, std::size_t at, std::size_t max_digits) noexcept {
  if (const std::size_t size = contraction(reader.text, at, true)) return at + size;
  const Kind kind = reader.kind(at);
  if (kind == Kind::kLetter) return reader.run_end(at, Kind::kLetter);
  const std::size_t next = reader.behind(at);
  if (kind != Kind::kNumber && !reader.is_line_break(at) && reader.is(next, Kind::kLetter)) {
    return reader.run_end(next, Kind::kLetter);
  }
  if (kind == Kind::kNumber) return reader.run_end(at, Kind::kNumber, max_digits);
  const std::size_t from = reader.text[at] == ' ' ? next : at;
  if (reader.is(from, Kind::kOther)) {
    std::size_t end = reader.run_end(from, Kind::kOther);
    while (reader.is_line_break(end)) ++end;
    return end;
  }
  const std::size_t end = reader.run_end(at, Kind::kSpace);
  std::size_t behind_break = at;
  for (std::size_t i = at; i < end; ++i) {
    if (reader.is_line_break(i)) behind_break = i + 1;
  }
  return behind_break > at ? behind_break : white_space_match(reader, at, end);
}

std::size_t white_space_run(const Reader& reader, std::size_t at) noexcept {
  return reader.run_end(at, Kind::kSpace);
}

/// A pattern given by a function: where the match that begins at `at` ends, `at` if there is none.
class FunctionPattern final : public Pattern {
 public:
  using Function = std::size_t (*)(const Reader& reader, std::size_t at) noexcept;
  explicit FunctionPattern(Function match_end) : match_end_(match_end) {}

  void find_parts(std::string_view text, std::vector<PatternPart>& parts) const override {
    const Reader reader{text};
    std::size_t passed = 0;  // behind the last match
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = match_end_(reader, at);
      if (end == at) {
        at = reader.behind(at);
        continue;
      }
      if (passed < at) parts.push_back({passed, at, false});
      parts.push_back({at, end, true});
      passed = at = end;
    }
    if (passed < text.size()) parts.push_back({passed, text.size(), false});
  }
  bool separates_words() const noexcept override { return true; }

 private:
  Function match_end_;
};

class ClassPattern final : public Pattern {
 public:
  explicit ClassPattern(CharacterClass character_class) : class_(character_class) {
    for (char32_t code = 0; code < 128; ++code) ascii_[code] = unicode::contains(table(), code);
  }

  void find_parts(std::string_view text, std::vector<PatternPart>& parts) const override {
    std::size_t passed = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const char32_t code = next_code_point(text, at);
      if (code < 128 ? !ascii_[code] : !unicode::contains(table(), code)) continue;
      if (passed < begin) parts.push_back({passed, begin, false});
      parts.push_back({begin, at, true});
      passed = at;
    }
    if (passed < text.size()) parts.push_back({passed, text.size(), false});
  }
  bool separates_words() const noexcept override { return class_ == CharacterClass::kWhiteSpace; }

 private:
  std::span<const unicode::CodePointRange> table() const noexcept {
    switch (class_) {
      case CharacterClass::kWhiteSpace:
        return unicode::kWhiteSpace;
      case CharacterClass::kPunctuation:
        return unicode::kPunctuation;
      case CharacterClass::kNumeric:
        return unicode::kNumeric;
    }
    return {};
  }

  CharacterClass class_;
  std::array<bool, 128> ascii_{};
};

class LiteralPattern final : public Pattern {
 public:
  explicit LiteralPattern(std::string text) : literal_(std::move(text)) {}

  void find_parts(std::string_view text, std::vector<PatternPart>& parts) const override {
    std::size_t at = 0;
    for (std::size_t found = text.find(literal_); found != std::string_view::npos;
         found = text.find(literal_, at)) {
      if (at < found) parts.push_back({at, found, false});
      at = found + literal_.size();
      parts.push_back({found, at, true});
    }
    if (at < text.size()) parts.push_back({at, text.size(), false});
  }
  bool separates_words() const noexcept override { return literal_ == " "; }

 private:
  std::string literal_;
};

/// \w+|[^\w\s]+; what is between the matches is white space.
class WordPattern final : public Pattern {
 public:
  void find_parts(std::string_view text, std::vector<PatternPart>& parts) const override {
    enum class Part { kNone, kSpace, kWord, kSymbols };
    Part last = Part::kNone;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const char32_t code = next_code_point(text, at);
      const Part part = unicode::contains(unicode::kWordCharacters, code) ? Part::kWord
                        : unicode::contains(unicode::kWhiteSpace, code)   ? Part::kSpace
                                                                          : Part::kSymbols;
      if (part == last) {
        parts.back().end = at;
      } else {
        parts.push_back({begin, at, part != Part::kSpace});
      }
      last = part;
    }
  }
  bool separates_words() const noexcept override { return true; }
};

struct KnownRegex {
  const char* regex;
  FunctionPattern::Function match_end;
};
constexpr std::array kRegexes = {
    KnownRegex{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
               &byte_level_match},
    KnownRegex{
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        [](const Reader& reader, std::size_t at) noexcept { return later_match(reader, at, 1); }},
    KnownRegex{
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        [](const Reader& reader, std::size_t at) noexcept { return later_match(reader, at, 3); }},
    KnownRegex{R"(\s+)", &white_space_run}};

}  // namespace

std::unique_ptr<const Pattern> class_pattern(CharacterClass character_class) {
  return std::make_unique<const ClassPattern>(character_class);
}

std::unique_ptr<const Pattern> literal_pattern(std::string text) {
  return std::make_unique<const LiteralPattern>(std::move(text));
}

std::unique_ptr<const Pattern> word_pattern() { return std::make_unique<const WordPattern>(); }

std::unique_ptr<const Pattern> byte_level_pattern() {
  return std::make_unique<const FunctionPattern>(&byte_level_match);
}

std::unique_ptr<const Pattern> regex_pattern(std::string_view regex) {
  for (const KnownRegex& known : kRegexes) {
    if (regex == known.regex) return std::make_unique<const FunctionPattern>(known.match_end);
  }
  return nullptr;
}

}  // namespace nearlite
