#include "prefix_trie.h"

#include <algorithm>

namespace nearlite {
namespace {

constexpr std::uint32_t kBlock = 256;
constexpr int kMaxTrials =
    32;  // free places looked at for a node with several children, before a new block is taken

struct SortItem {
  std::uint64_t bytes;
  std::size_t place;
};

/// The first 8 bytes, so that comparing the numbers compares the texts.
std::uint64_t first_bytes(std::string_view text) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    bytes = bytes << 8U | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0U);
  }
  return bytes;
}

}  // namespace

struct PrefixTrie::Builder {
  struct Task {  // the keys [first, last) share `depth` bytes and end in `node`
    std::size_t first, last, depth;
    std::uint32_t node;
  };

  Builder(PrefixTrie& target, const std::vector<Item>& sorted) : trie(target), items(sorted) {}

  void build() {
    add_block();
    take(0, 0);
    std::vector<Task> tasks{{0, items.size(), 0, 0}};
    while (!tasks.empty()) {  // depth first: the nodes of one key come to lie close together
      const Task task = tasks.back();
      tasks.pop_back();
      place_children(task, tasks);
    }
  }

  void place_children(Task task, std::vector<Task>& tasks) {
    for (; task.first < task.last && items[task.first].key.size() == task.depth; ++task.first) {
      std::int32_t& value = trie.nodes_[task.node].value;
      if (value < 0) value = items[task.first].value;
    }
    if (task.first == task.last) return;
    labels.clear();
    starts.clear();
    for (std::size_t i = task.first; i < task.last; ++i) {
      const auto byte = static_cast<unsigned char>(items[i].key[task.depth]);
      if (!labels.empty() && labels.back() == byte) continue;
      labels.push_back(byte);
      starts.push_back(i);
    }
    starts.push_back(task.last);
    const std::uint32_t base = find_base();
    trie.nodes_[task.node].base = base;
    for (const unsigned char label : labels) take(base ^ label, task.node);
    for (std::size_t i = labels.size(); i-- > 0;) {
      tasks.push_back({starts[i], starts[i + 1], task.depth + 1, base ^ labels[i]});
    }
  }

  std::uint32_t find_base() {
    int trials = 0;
    for (std::uint32_t place = first_free; place != kFree && trials < kMaxTrials;
         place = next[place], ++trials) {
      const std::uint32_t base = place ^ labels[0];
      const bool fits = std::all_of(labels.begin(), labels.end(), [&](unsigned char label) {
        return trie.nodes_[base ^ label].parent == kFree;
      });
      if (fits) return base;
    }
    const auto block = static_cast<std::uint32_t>(trie.nodes_.size());
    add_block();
    return block;
  }

  void add_block() {  // newest places first: single children fill the gaps that remain in them
    const auto start = static_cast<std::uint32_t>(trie.nodes_.size());
    trie.nodes_.resize(start + kBlock);
    next.resize(start + kBlock);
    previous.resize(start + kBlock);
    for (std::uint32_t i = start; i < start + kBlock; ++i) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    next[start + kBlock - 1] = first_free;
    if (first_free != kFree) previous[first_free] = start + kBlock - 1;
    previous[start] = kFree;
    first_free = start;
  }

  void take(std::uint32_t place, std::uint32_t parent) {
    trie.nodes_[place].parent = parent;
    if (previous[place] == kFree) {
      first_free = next[place];
    } else {
      next[previous[place]] = next[place];
    }
    if (next[place] != kFree) previous[next[place]] = previous[place];
  }

  PrefixTrie& trie;
  const std::vector<Item>& items;
  std::vector<unsigned char> labels;
  std::vector<std::size_t> starts;
  std::vector<std::uint32_t> next, previous;  // the free places, as a list
  std::uint32_t first_free = kFree;
};

PrefixTrie::PrefixTrie(std::vector<Item> items) {
  // Sorted by the first 8 bytes as one number, which decides nearly always, then by the rest.
  std::vector<SortItem> order;
  order.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) order.push_back({first_bytes(items[i].key), i});
  std::sort(order.begin(), order.end(), [&](const SortItem& a, const SortItem& b) {
    if (a.bytes != b.bytes) return a.bytes < b.bytes;
    const int difference = items[a.place].key.compare(items[b.place].key);
    return difference != 0 ? difference < 0 : a.place < b.place;
  });
  std::vector<Item> sorted;
  sorted.reserve(items.size());
  for (const SortItem& item : order) sorted.push_back(items[item.place]);
  Builder(*this, sorted).build();
  // The root is its own parent, which must not make it a child of itself.
  nodes_[0].parent = kFree;
  for (const Item& item : items) longest_key_ = std::max(longest_key_, item.key.size());
}

}  // namespace nearlite
