#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "annoy_format.h"
#include "dot.h"
#include "nearlite/base/error.h"
#include "nearlite/index/annoy_index.h"
#include "nearlite/index/flat_index.h"
#include "random.h"

namespace nearlite {
namespace {

void scale_to_unit(std::span<float> vector) noexcept {
  const float norm = vector_norm(vector);
  if (norm == 0) return;
  for (float& value : vector) value /= norm;
}

/// One tree, built by itself: its nodes count from 0, so that trees can be made in any order on any
/// thread.
class TreeBuilder {
 public:
  TreeBuilder(const VectorRows& rows, std::uint64_t seed)
      : rows_(rows), layout_(rows.dim), random_(seed), items_(rows.ids.size()) {
    for (std::size_t i = 0; i < items_.size(); ++i) items_[i] = static_cast<std::int32_t>(i);
  }

  /// Nodes in the order children before parents, the root last. Children that are tree nodes are
  /// written as num_items + their number in this tree; shift_children moves them to their place in
  /// the file.
  std::vector<std::byte> build() {
    add_subtree(items_, /*is_root=*/true);
    return std::move(nodes_);
  }

 private:
  // Sides of a split at least this full. It bounds the depth (and so the recursion) by log(n) /
  // log(1 / 0.9): 200 for a thousand million rows.
  static constexpr double kLeastShare = 0.1;
  static constexpr int kSplitAttempts = 3;
  static constexpr std::size_t kSample = 64;
  static constexpr int kMeansRounds = 3;

  std::int32_t add_subtree(std::span<std::int32_t> items, bool is_root) {
    if (items.size() == 1 && !is_root) return items[0];
    if (items.size() <= layout_.leaf_capacity) return add_leaf(items);
    std::vector<float> normal(rows_.dim);
    const std::size_t middle = split(items, normal);
    const std::int32_t negative = add_subtree(items.first(middle), false);
    const std::int32_t positive = add_subtree(items.subspan(middle), false);
    std::byte* node = add_node(items.size());
    const std::array<std::int32_t, 2> children{negative, positive};
    std::memcpy(node + AnnoyLayout::kChildren, children.data(), sizeof children);
    std::memcpy(node + AnnoyLayout::kVector, normal.data(), normal.size() * sizeof(float));
    return last_node();
  }

  std::int32_t add_leaf(std::span<const std::int32_t> items) {
    std::byte* node = add_node(items.size());
    if (!items.empty())
      std::memcpy(node + AnnoyLayout::kChildren, items.data(), items.size_bytes());
    return last_node();
  }

  std::byte* add_node(std::size_t num_descendants) {
    nodes_.resize(nodes_.size() + layout_.node_bytes);
    std::byte* node = nodes_.data() + nodes_.size() - layout_.node_bytes;
    const auto count = static_cast<std::int32_t>(num_descendants);
    std::memcpy(node, &count, sizeof count);
    return node;
  }

  std::int32_t last_node() const {
    return static_cast<std::int32_t>(items_.size() + nodes_.size() / layout_.node_bytes - 1);
  }

  /// Moves the items of the negative side to the front and returns how many there are.
  std::size_t split(std::span<std::int32_t> items, std::vector<float>& normal) {
    const auto least = static_cast<std::size_t>(kLeastShare * static_cast<double>(items.size()));
    for (int attempt = 0; attempt < kSplitAttempts; ++attempt) {
      find_normal(items, normal);
      const std::size_t middle = partition(items, normal);
      if (std::min(middle, items.size() - middle) > least) return middle;
    }
    // No plane parts them (equal vectors, for example): halves at random, and a normal of zeros,
    // which sends a search to both sides.
    std::fill(normal.begin(), normal.end(), 0.0F);
    for (std::size_t i = items.size() - 1; i > 0; --i)
      std::swap(items[i], items[random_.below(i + 1)]);
    return items.size() / 2;
  }

  /// A plane between two groups of a sample: the difference of their mean directions.
  void find_normal(std::span<const std::int32_t> items, std::vector<float>& normal) {
    const std::size_t dim = rows_.dim;
    sample_.resize(kSample * dim);
    for (std::size_t i = 0; i < kSample; ++i) {
      const auto row = rows_.row(static_cast<std::size_t>(items[random_.below(items.size())]));
      std::copy(row.begin(), row.end(), sample_.begin() + static_cast<std::ptrdiff_t>(i * dim));
      scale_to_unit(std::span(sample_).subspan(i * dim, dim));
    }
    for (std::size_t j = 0; j < dim; ++j) normal[j] = sample_[j] - sample_[dim + j];
    std::array<float, kSample> side;
    for (int round = 0; round < kMeansRounds; ++round) {
      dot_rows()(normal.data(), sample_.data(), kSample, dim, dim, side.data());
      update_normal(side, normal);
    }
  }

  void update_normal(const std::array<float, kSample>& side, std::vector<float>& normal) {
    const std::size_t dim = rows_.dim;
    std::vector<float> positive(dim);
    std::vector<float> negative(dim);
    for (std::size_t i = 0; i < kSample; ++i) {
      std::vector<float>& mean = side[i] > 0 ? positive : negative;
      for (std::size_t j = 0; j < dim; ++j) mean[j] += sample_[i * dim + j];
    }
    scale_to_unit(positive);
    scale_to_unit(negative);
    for (std::size_t j = 0; j < dim; ++j) normal[j] = positive[j] - negative[j];
    scale_to_unit(normal);
  }

  std::size_t partition(std::span<std::int32_t> items, const std::vector<float>& normal) {
    std::vector<std::int32_t> positive;
    std::size_t middle = 0;
    for (const std::int32_t item : items) {
      float margin = 0;
      const auto row = rows_.row(static_cast<std::size_t>(item));
      dot_rows()(normal.data(), row.data(), 1, row.size(), row.size(), &margin);
      const bool is_positive = margin != 0 ? margin > 0 : (random_.next() >> 63) != 0;
      if (is_positive) {
        positive.push_back(item);
      } else {
        items[middle++] = item;
      }
    }
    std::copy(positive.begin(), positive.end(),
              items.begin() + static_cast<std::ptrdiff_t>(middle));
    return middle;
  }

  const VectorRows& rows_;
  AnnoyLayout layout_;
  Random random_;
  std::vector<std::int32_t> items_;
  std::vector<std::byte> nodes_;
  std::vector<float> sample_;
};

/// Moves a tree from "right behind the items" to behind `num_nodes_before` nodes of other trees.
void shift_children(std::vector<std::byte>& nodes, const AnnoyLayout& layout, std::size_t num_items,
                    std::size_t num_nodes_before) {
  for (std::size_t at = 0; at < nodes.size(); at += layout.node_bytes) {
    std::byte* node = nodes.data() + at;
    if (static_cast<std::size_t>(annoy_descendants(node)) <= layout.leaf_capacity) continue;
    for (std::size_t which = 0; which < 2; ++which) {
      std::int32_t child = annoy_child(node, which);
      if (static_cast<std::size_t>(child) < num_items) continue;
      child += static_cast<std::int32_t>(num_nodes_before);
      std::memcpy(node + AnnoyLayout::kChildren + 4 * which, &child, sizeof child);
    }
  }
}

std::vector<std::vector<std::byte>> build_trees(const VectorRows& rows, const AnnoyParams& params) {
  std::vector<std::vector<std::byte>> trees(params.num_trees);
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  const auto work = [&] {
    try {
      for (std::size_t tree = next++; tree < trees.size(); tree = next++) {
        Random seeds(params.seed + (tree + 1) * 0x632be59bd9b4e019U);
        trees[tree] = TreeBuilder(rows, seeds.next()).build();
      }
    } catch (...) {  // out of memory: must not end the process
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  const std::size_t num_threads = std::clamp<std::size_t>(params.threads, 1, trees.size());
  {
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < num_threads; ++i) helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  return trees;
}

void write_items(AtomicFile& file, const VectorRows& rows, const AnnoyLayout& layout) {
  constexpr std::size_t kItemsPerWrite = 256;
  std::vector<std::byte> buffer;
  for (std::size_t i = 0; i < rows.ids.size(); ++i) {
    const std::size_t at = buffer.size();
    buffer.resize(at + layout.node_bytes);
    const std::int32_t one = 1;
    const auto row = rows.row(i);
    double squared = 0;
    for (const float value : row)
      squared += static_cast<double>(value) * static_cast<double>(value);
    const auto squared_norm = static_cast<float>(squared);
    std::memcpy(buffer.data() + at, &one, sizeof one);
    std::memcpy(buffer.data() + at + AnnoyLayout::kChildren, &squared_norm, sizeof squared_norm);
    std::memcpy(buffer.data() + at + AnnoyLayout::kVector, row.data(), row.size_bytes());
    if (buffer.size() == kItemsPerWrite * layout.node_bytes || i + 1 == rows.ids.size()) {
      file.write(buffer);
      buffer.clear();
    }
  }
}

}  // namespace

void build_annoy(AtomicFile& file, const VectorRows& rows, const AnnoyParams& params) {
  check_rows(rows);
  constexpr std::size_t kMaxRows = std::size_t{1} << 30;
  if (rows.ids.size() > kMaxRows) {
    throw InvalidArgument("annoy counts in 32 bits: " + std::to_string(rows.ids.size()) +
                          " rows are more than 2^30");
  }
  if (params.num_trees == 0 || params.num_trees > 10'000) {
    throw InvalidArgument("annoy with " + std::to_string(params.num_trees) +
                          " trees, 1 to 10000 are possible");
  }
  const AnnoyLayout layout(rows.dim);
  std::vector<std::vector<std::byte>> trees = build_trees(rows, params);
  write_items(file, rows, layout);
  std::size_t num_nodes = 0;
  std::vector<std::byte> roots;
  for (std::vector<std::byte>& tree : trees) {
    shift_children(tree, layout, rows.ids.size(), num_nodes);
    num_nodes += tree.size() / layout.node_bytes;
    if (rows.ids.size() + num_nodes + trees.size() > static_cast<std::size_t>(INT32_MAX)) {
      throw InvalidArgument("annoy counts in 32 bits: too many nodes for this many rows and trees");
    }
    file.write(tree);
    roots.insert(roots.end(), tree.end() - static_cast<std::ptrdiff_t>(layout.node_bytes),
                 tree.end());
  }
  file.write(roots);
}

}  // namespace nearlite
