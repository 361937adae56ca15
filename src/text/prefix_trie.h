#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace nearlite {

/// Byte strings with values, made to find the longest one that a text begins with: a double-array
/// trie, where the child of a node for a byte stands at base XOR byte. Immutable; may be used by
/// several threads.
class PrefixTrie {
 public:
  struct Item {
    std::string_view key;  // not empty
    std::int32_t value = 0;
  };
  struct Match {
    std::size_t length = 0;  // 0: nothing matches
    std::int32_t value = -1;
  };

  PrefixTrie() : PrefixTrie(std::vector<Item>{}) {}
  /// Of items with equal keys the first one counts.
  explicit PrefixTrie(std::vector<Item> items);

  /// The longest key that `text` begins with. O(length of the longest key).
  Match longest_prefix(std::string_view text) const noexcept {
    const Node* const nodes = nodes_.data();
    Match best;
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint32_t child = nodes[node].base ^ static_cast<unsigned char>(text[i]);
      if (nodes[child].parent != node) break;
      node = child;
      if (nodes[node].value >= 0) best = {i + 1, nodes[node].value};
    }
    return best;
  }

  /// Calls visit(length, value) for each key that `text` begins with, shortest first.
  template <typename Visit>
  void for_each_prefix(std::string_view text, Visit visit) const {
    const Node* const nodes = nodes_.data();
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint32_t child = nodes[node].base ^ static_cast<unsigned char>(text[i]);
      if (nodes[child].parent != node) return;
      node = child;
      if (nodes[node].value >= 0) visit(i + 1, nodes[node].value);
    }
  }

  /// The value of a whole key, or -1.
  std::int32_t find(std::string_view key) const noexcept {
    const Match match = longest_prefix(key);
    return match.length == key.size() ? match.value : -1;
  }

  std::size_t longest_key() const noexcept { return longest_key_; }

 private:
  struct Node {
    std::uint32_t base = 0;
    std::uint32_t parent = kFree;
    std::int32_t value = -1;
  };
  static constexpr std::uint32_t kFree = ~std::uint32_t{0};
  struct Builder;

  std::vector<Node> nodes_;  // whole blocks of 256, so that base XOR byte is always inside
  std::size_t longest_key_ = 0;
};

}  // namespace nearlite
