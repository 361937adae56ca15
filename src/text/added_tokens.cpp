#include "added_tokens.h"

#include "code_points.h"
#include "unicode_tables.h"

namespace nearlite {
namespace {

/// The code point that ends at `end`, and where it begins; kInvalidCodePoint if there is none.
char32_t code_point_before(std::string_view text, std::size_t end, std::size_t& begin) noexcept {
  for (std::size_t length = 1; length <= 4 && length <= end; ++length) {
    begin = end - length;
    std::size_t at = begin;
    const char32_t code = checked_code_point(text.substr(0, end), at);
    if (code != kInvalidCodePoint && at == end) return code;
  }
  return kInvalidCodePoint;
}

bool is_word_character(char32_t code) noexcept {
  return code != kInvalidCodePoint && unicode::contains(unicode::kWordCharacters, code);
}

}  // namespace

std::size_t white_space_begin(std::string_view text, std::size_t from, std::size_t end) noexcept {
  while (end > from) {
    std::size_t begin = end;
    const char32_t code = code_point_before(text, end, begin);
    if (code == kInvalidCodePoint || !unicode::contains(unicode::kWhiteSpace, code) || begin < from)
      break;
    end = begin;
  }
  return end;
}

std::size_t white_space_end(std::string_view text, std::size_t begin) noexcept {
  while (begin < text.size()) {
    std::size_t end = begin;
    const char32_t code = checked_code_point(text, end);
    if (code == kInvalidCodePoint || !unicode::contains(unicode::kWhiteSpace, code)) break;
    begin = end;
  }
  return begin;
}

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::vector<PrefixTrie::Item> items;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    items.push_back({tokens_[i].content, static_cast<std::int32_t>(i)});
    starts_[static_cast<unsigned char>(tokens_[i].content[0])] = true;
  }
  trie_ = PrefixTrie(std::move(items));
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::match_at(std::string_view text,
                                                                    std::size_t at) const noexcept {
  const PrefixTrie::Match found = trie_.longest_prefix(text.substr(at));
  if (found.length == 0) return std::nullopt;
  const AddedToken& token = tokens_[static_cast<std::size_t>(found.value)];
  const std::size_t end = at + found.length;
  if (token.single_word) {
    std::size_t begin = at;
    std::size_t next = end;
    if (is_word_character(code_point_before(text, at, begin)) ||
        is_word_character(checked_code_point(text, next))) {
      return Match{at, end, nullptr};
    }
  }
  return Match{at, end, &token};
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text,
                                                                std::size_t from,
                                                                std::size_t to) const noexcept {
  for (std::size_t at = from; at < to;) {
    if (!can_start_with(text[at])) {
      ++at;
      continue;
    }
    const auto match = match_at(text, at);
    if (match && match->token != nullptr) return match;
    at = match ? match->end : at + 1;
  }
  return std::nullopt;
}

}  // namespace nearlite
