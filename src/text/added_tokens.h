#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prefix_trie.h"

namespace nearlite {

/// A token that is cut out of the text before it is split into words.
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool single_word = false;  // matches only with no word character beside it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space behind it along
  bool normalized = false;   // its normalized form is looked for in normalized text
};

/// Finds added tokens: from left to right, the longest one at each place, none overlapping. One
/// that may not match because it is not a single word still hides those inside it, as in the
/// reference. Immutable; may be used by several threads.
class AddedTokenMatcher {
 public:
  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
    const AddedToken* token = nullptr;  // nullptr: found, but not a single word; go on behind `end`
  };

  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  bool empty() const noexcept { return tokens_.empty(); }
  std::size_t longest_token() const noexcept { return trie_.longest_key(); }
  bool can_start_with(char byte) const noexcept {
    return starts_[static_cast<unsigned char>(byte)];
  }

  /// The token that begins exactly at `at`, if any. Looks at the characters beside it where it must
  /// be a single word.
  std::optional<Match> match_at(std::string_view text, std::size_t at) const noexcept;

  /// The first match (with a token) that begins in [from, to).
  std::optional<Match> find(std::string_view text, std::size_t from, std::size_t to) const noexcept;

 private:
  std::vector<AddedToken> tokens_;
  PrefixTrie trie_;
  std::array<bool, 256> starts_{};
};

/// Where the white space that ends at `end` begins, at least `from`. Invalid UTF-8 is not white
/// space.
std::size_t white_space_begin(std::string_view text, std::size_t from, std::size_t end) noexcept;
/// Where the white space that begins at `begin` ends.
std::size_t white_space_end(std::string_view text, std::size_t begin) noexcept;

}  // namespace nearlite
