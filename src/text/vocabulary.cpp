#include "vocabulary.h"

#include <algorithm>

namespace nearlite {
namespace {

/// A token that ends in a NUL byte looks like a shorter word; only the trie holds it.
bool fits_short_word(std::string_view token) {
  return !token.empty() && token.size() <= ShortWord::kMaxBytes && token.back() != '\0';
}

}  // namespace

Vocabulary::Vocabulary(const std::vector<VocabularyEntry>& entries, std::string_view continuation,
                       std::int32_t unknown_id)
    : unknown_id_(unknown_id) {
  slots_.resize(std::bit_ceil(2 * entries.size() + 2));
  slot_mask_ = slots_.size() - 1;
  std::vector<PrefixTrie::Item> starts;
  std::vector<PrefixTrie::Item> continuations;
  for (const auto& [token, id] : entries) {
    if (token.empty()) continue;
    starts.push_back({token, id});
    if (token.starts_with(continuation) && token.size() > continuation.size()) {
      continuations.push_back({std::string_view(token).substr(continuation.size()), id});
    }
    if (!fits_short_word(token)) continue;
    char bytes[ShortWord::kMaxBytes] = {};
    std::copy(token.begin(), token.end(), bytes);
    const ShortWord word = ShortWord::of(bytes, token.size());
    std::size_t slot = hash(word) & slot_mask_;
    while (slots_[slot].id >= 0) slot = (slot + 1) & slot_mask_;
    slots_[slot] = {word, id};
  }
  starts_ = PrefixTrie(std::move(starts));
  continuations_ = PrefixTrie(std::move(continuations));
}

void Vocabulary::append_pieces(std::string_view word, std::vector<std::int32_t>& ids) const {
  const std::size_t num_before = ids.size();
  const PrefixTrie* trie = &starts_;
  while (!word.empty()) {
    const PrefixTrie::Match match = trie->longest_prefix(word);
    if (match.length == 0) {
      ids.resize(num_before);
      ids.push_back(unknown_id_);
      return;
    }
    ids.push_back(match.value);
    word.remove_prefix(match.length);
    trie = &continuations_;
  }
}

}  // namespace nearlite
