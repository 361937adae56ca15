#include <algorithm>
#include <bit>
#include <unordered_map>

#include "byte_tokens.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "subword_model.h"

namespace nearlite {
namespace {

constexpr char32_t kDirectCharacters = 0x200;  // those of byte-level models are below it

/// What two tokens become, and how early.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank = 0;
    std::int32_t id = -1;  // -1: none
  };

  explicit MergeTable(std::size_t num_merges) : slots_(std::bit_ceil(2 * num_merges + 2)) {}

  /// The last merge of a pair counts.
  void put(std::int32_t left, std::int32_t right, Merge merge) {
    const std::uint64_t key = key_of(left, right);
    std::size_t slot = hash(key);
    while (slots_[slot].merge.id >= 0 && slots_[slot].key != key) slot = (slot + 1) & mask();
    slots_[slot] = {key, merge};
  }

  Merge find(std::int32_t left, std::int32_t right) const noexcept {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t slot = hash(key);; slot = (slot + 1) & mask()) {
      if (slots_[slot].merge.id < 0 || slots_[slot].key == key) return slots_[slot].merge;
    }
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Merge merge;
  };
  static std::uint64_t key_of(std::int32_t left, std::int32_t right) noexcept {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32U |
           static_cast<std::uint32_t>(right);
  }
  std::size_t mask() const noexcept { return slots_.size() - 1; }
  std::size_t hash(std::uint64_t key) const noexcept {
    key ^= key >> 29U;
    return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15U >> 24U) & mask();
  }

  std::vector<Slot> slots_;  // open addressing; a power of two, at most half full
};

PrefixTrie trie_of(const std::vector<VocabularyEntry>& vocabulary) {
  std::vector<PrefixTrie::Item> items;
  for (const auto& [token, id] : vocabulary) {
    if (!token.empty()) items.push_back({token, id});
  }
  return PrefixTrie(std::move(items));
}

/// Characters of a word are joined pair by pair, earliest merge first, leftmost first.
class Bpe final : public SubwordModel {
 public:
  explicit Bpe(BpeDefinition definition)
      : tokens_(trie_of(definition.vocabulary)),
        bytes_([this](const std::string& token) { return tokens_.find(token); }),
        merges_(definition.merges.size()),
        direct_(kDirectCharacters, -1) {
    read_merges(definition);
    for (char32_t code = 0; code < kDirectCharacters; ++code) {
      std::string character;
      append_utf8(character, code);
      direct_[code] = tokens_.find(character);
    }
    definition.merges = {};
    definition.vocabulary = {};
    definition_ = std::move(definition);
  }

  void append_ids(std::string_view word, ModelScratch& scratch,
                  std::vector<std::int32_t>& ids) const override {
    if (definition_.ignore_merges) {
      if (const std::int32_t id = tokens_.find(word); id >= 0) {
        ids.push_back(id);
        return;
      }
    }
    read_symbols(word, scratch);
    merge(scratch);
    for (const auto& symbol : scratch.symbols) {
      if (symbol.size > 0) ids.push_back(symbol.id);
    }
  }

 private:
  void read_merges(const BpeDefinition& definition) {
    const std::size_t prefix = definition.continuation.size();
    std::uint32_t rank = 0;
    for (const auto& pair : definition.merges) {
      const std::string& left = pair.first;
      const std::string& right = pair.second;
      const auto id_of = [&](const std::string& token) {
        const std::int32_t id = tokens_.find(token);
        if (token.empty() || id < 0) {
          throw CorruptData("merge " + std::to_string(rank) + " (\"" +
                            std::string(utf8_prefix(left, 60)) + "\" + \"" +
                            std::string(utf8_prefix(right, 60)) + "\"): \"" +
                            std::string(utf8_prefix(token, 60)) + "\" is not in the vocabulary");
        }
        return id;
      };
      const std::string joined = left + (right.size() > prefix ? right.substr(prefix) : "");
      merges_.put(id_of(left), id_of(right), {rank, id_of(joined)});
      ++rank;
    }
  }

  std::int32_t id_of_character(std::string_view character, bool is_first, bool is_last,
                               std::string& text) const {
    const bool is_plain = (is_first || definition_.continuation.empty()) &&
                          (!is_last || definition_.end_of_word.empty());
    if (is_plain) {
      std::size_t at = 0;
      const char32_t code = next_code_point(character, at);
      return code < kDirectCharacters ? direct_[code] : tokens_.find(character);
    }
    text.assign(is_first ? "" : definition_.continuation).append(character);
    if (is_last) text += definition_.end_of_word;
    return tokens_.find(text);
  }

  void read_symbols(std::string_view word, ModelScratch& scratch) const {
    auto& symbols = scratch.symbols;
    symbols.clear();
    const auto add = [&](std::int32_t id, std::size_t size) {
      symbols.push_back({.id = id, .size = static_cast<std::uint32_t>(size)});
    };
    std::size_t unknown_size = 0;  // of the unknown token that is not there yet
    const auto add_unknown = [&] {
      if (unknown_size > 0) add(*definition_.unknown_id, unknown_size);
      unknown_size = 0;
    };
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t begin = at;
      next_code_point(word, at);
      const std::string_view character = word.substr(begin, at - begin);
      const std::int32_t id =
          id_of_character(character, begin == 0, at == word.size(), scratch.text);
      if (id >= 0) {
        add_unknown();
        add(id, character.size());
        continue;
      }
      if (definition_.byte_fallback && add_bytes(character, begin == 0, at == word.size(), symbols))
        continue;
      if (!definition_.unknown_id) continue;
      if (!definition_.fuse_unknown) add_unknown();
      unknown_size += character.size();
    }
    add_unknown();
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      symbols[i].previous = static_cast<std::int32_t>(i) - 1;
      symbols[i].next = i + 1 < symbols.size() ? static_cast<std::int32_t>(i) + 1 : -1;
    }
  }

  /// Prefix and suffix fall into bytes as well, as in the reference.
  bool add_bytes(std::string_view character, bool is_first, bool is_last,
                 std::vector<ModelScratch::Symbol>& symbols) const {
    const std::string text = (is_first ? "" : definition_.continuation) + std::string(character) +
                             (is_last ? definition_.end_of_word : "");
    if (!bytes_.have(text)) return false;
    for (const char byte : text) symbols.push_back({.id = bytes_.id(byte), .size = 1});
    return true;
  }

  void merge(ModelScratch& scratch) const {
    auto& symbols = scratch.symbols;
    auto& queue = scratch.merges;
    queue.clear();
    // The heap's top is its largest element: later merges, then those further right, are smaller.
    const auto is_later = [](const ModelScratch::Merge& a, const ModelScratch::Merge& b) {
      return std::pair(a.rank, a.position) > std::pair(b.rank, b.position);
    };
    const auto candidate = [&](std::int32_t left, std::int32_t right) {
      return merges_.find(symbols[static_cast<std::size_t>(left)].id,
                          symbols[static_cast<std::size_t>(right)].id);
    };
    const auto offer = [&](std::int32_t left, std::int32_t right) {
      if (left < 0 || right < 0) return;
      const MergeTable::Merge found = candidate(left, right);
      if (found.id < 0) return;
      queue.push_back({found.rank, left, found.id});
      std::push_heap(queue.begin(), queue.end(), is_later);
    };
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      offer(static_cast<std::int32_t>(i), symbols[i].next);
    }
    while (!queue.empty()) {
      std::pop_heap(queue.begin(), queue.end(), is_later);
      const ModelScratch::Merge top = queue.back();
      queue.pop_back();
      auto& left = symbols[static_cast<std::size_t>(top.position)];
      if (left.size == 0 || left.next < 0) continue;
      if (candidate(top.position, left.next).id != top.id) continue;  // one of them has changed
      auto& right = symbols[static_cast<std::size_t>(left.next)];
      left.id = top.id;
      left.size += right.size;
      left.next = right.next;
      right.size = 0;
      if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].previous = top.position;
      offer(left.previous, top.position);
      offer(top.position, left.next);
    }
  }

  PrefixTrie tokens_;
  ByteTokens bytes_;
  MergeTable merges_;
  std::vector<std::int32_t> direct_;  // ids of the first code points, or -1
  BpeDefinition definition_;          // without vocabulary and merges
};

}  // namespace

std::unique_ptr<const SubwordModel> bpe_model(BpeDefinition definition) {
  return std::make_unique<const Bpe>(std::move(definition));
}

}  // namespace nearlite
