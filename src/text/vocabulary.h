#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "prefix_trie.h"

namespace nearlite {

struct VocabularyEntry {
  std::string token;
  std::int32_t id = 0;
};

/// A word of at most 16 bytes, filled up with zero bytes.
struct ShortWord {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const ShortWord&, const ShortWord&) = default;
  static constexpr std::size_t kMaxBytes = 16;

  /// The first `size` (1 to 16) of the 16 bytes at `bytes`.
  static ShortWord of(const char* bytes, std::size_t size) noexcept {
    ShortWord word;
    std::memcpy(&word.low, bytes, 8);
    std::memcpy(&word.high, bytes + 8, 8);
    // Shifts by 64 are avoided: size - 1 is 0 to 7 in the first case and size - 9 is that in the
    // second.
    if (size <= 8) {
      word.low &= ~std::uint64_t{0} >> (64 - 8 * size);
      word.high = 0;
    } else {
      word.high &= ~std::uint64_t{0} >> (128 - 8 * size);
    }
    return word;
  }
};
static_assert(std::endian::native == std::endian::little, "words are cut off at their high bytes");

/// The tokens of a WordPiece model. Immutable; may be used by several threads.
class Vocabulary {
 public:
  /// continuation: what marks a token as the middle or end of a word ("##").
  Vocabulary(const std::vector<VocabularyEntry>& entries, std::string_view continuation,
             std::int32_t unknown_id);

  /// The id of a whole word, or -1.
  std::int32_t find(const ShortWord& word) const noexcept {
    const Slot* const slots = slots_.data();
    for (std::size_t slot = hash(word) & slot_mask_;; slot = (slot + 1) & slot_mask_) {
      if (slots[slot].word == word) return slots[slot].id;
      if (slots[slot].id < 0) return -1;
    }
  }

  /// Appends the pieces of a word to `ids`: greedily the longest token each, or the unknown token
  /// alone if a rest cannot be matched. Time: at most word length times the length of the longest
  /// token.
  void append_pieces(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::int32_t unknown_id() const noexcept { return unknown_id_; }

 private:
  struct Slot {
    ShortWord word;
    std::int32_t id = -1;  // -1: empty
  };
  static std::size_t hash(const ShortWord& word) noexcept {
    const std::uint64_t mixed =
        word.low * 0x9E3779B97F4A7C15U ^ (word.high + 0x2545F491U) * 0xD6E8FEB86659FD93U;
    return static_cast<std::size_t>((mixed ^ (mixed >> 32U)) * 0x9FB21C651E98DF25U >> 24U);
  }

  std::vector<Slot> slots_;  // open addressing; a power of two, at most half full
  std::size_t slot_mask_ = 0;
  PrefixTrie starts_;
  PrefixTrie continuations_;
  std::int32_t unknown_id_;
};

}  // namespace nearlite
