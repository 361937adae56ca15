#include <algorithm>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "annoy_format.h"
#include "calibrate.h"
#include "collector.h"
#include "dot.h"
#include "nearlite/base/error.h"
#include "nearlite/index/annoy_index.h"
#include "row_codes.h"

namespace nearlite {
namespace {

/// The candidates of one search, each taken once: a bit per item, made anew so that a filter may
/// itself search.
class Seen {
 public:
  explicit Seen(std::size_t size) : words_((size + 63) / 64) {}
  bool insert(std::size_t i) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (i % 64);
    std::uint64_t& word = words_[i / 64];
    const bool is_new = (word & bit) == 0;
    word |= bit;
    return is_new;
  }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace

/// Walks all trees from one queue, nearest border first, and scores every item once.
class ForestWalk {
 public:
  ForestWalk(std::span<const std::byte> nodes, std::size_t dim, std::size_t num_items,
             std::span<const float> query)
      : nodes_(nodes.data()),
        layout_(dim),
        num_nodes_(nodes.size() / layout_.node_bytes),
        num_items_(num_items),
        query_(query),
        seen_(num_items) {}

  /// The new candidates of at least `search_k` (repeated ones count, as in Annoy itself).
  std::vector<std::uint32_t> candidates(std::span<const std::int32_t> roots, std::size_t search_k) {
    for (const std::int32_t root : roots)
      queue_.emplace(std::numeric_limits<float>::infinity(), root);
    std::size_t num_offered = 0;
    while (num_offered < search_k && !queue_.empty()) {
      const auto [margin, index] = queue_.top();
      queue_.pop();
      num_offered += visit(margin, static_cast<std::size_t>(index));
    }
    return std::move(found_);
  }

 private:
  std::size_t visit(float margin, std::size_t index) {
    if (index >= num_nodes_) fail();
    const std::byte* node = nodes_ + index * layout_.node_bytes;
    if (index < num_items_) {
      take(index);
      return 1;
    }
    const auto count = static_cast<std::size_t>(annoy_descendants(node));
    if (count <= layout_.leaf_capacity) {
      for (std::size_t j = 0; j < count; ++j) take(static_cast<std::size_t>(annoy_child(node, j)));
      return count;
    }
    float side = 0;
    dot_rows()(query_.data(), annoy_vector(node), 1, query_.size(), query_.size(), &side);
    queue_.emplace(std::min(margin, -side), annoy_child(node, 0));
    queue_.emplace(std::min(margin, side), annoy_child(node, 1));
    return 0;
  }

  /// The file was proven safe when it was opened: somebody wrote to it since.
  [[noreturn]] static void fail() {
    throw CorruptData("an Annoy file was written to while it was searched",
                      "index files are replaced, never changed: delete it and it is rebuilt");
  }

  void take(std::size_t item) {
    if (item >= num_items_) fail();
    if (!seen_.insert(item)) return;
    found_.push_back(static_cast<std::uint32_t>(item));
  }

  const std::byte* nodes_;
  AnnoyLayout layout_;
  std::size_t num_nodes_;
  std::size_t num_items_;
  std::span<const float> query_;
  Seen seen_;
  std::vector<std::uint32_t> found_;
  std::priority_queue<std::pair<float, std::int32_t>> queue_;
};

void AnnoyIndex::collect_all(std::span<const float> unit_query, Collector& collector) const {
  scan_rows(unit_query, annoy_vector(node(0)), node_bytes_ / sizeof(float), norms_, ids_,
            collector);
}

SearchResult AnnoyIndex::search_with_effort(std::span<const float> query,
                                            const SearchParams& params,
                                            std::size_t search_k) const {
  check_unchanged();
  const std::vector<float> unit = unit_query(query, dim_, params);
  Collector collector(params);
  ForestWalk walk(mapped_.bytes(), dim_, ids_.size(), unit);
  const std::vector<std::uint32_t> candidates =
      walk.candidates(roots_, std::max(search_k, params.k));
  const std::vector<std::uint32_t> chosen = best_by_codes(candidates, unit, collector);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    constexpr std::size_t kAhead = 4;  // rows on their way from memory while one is scored
    if (i + kAhead < chosen.size()) prefetch_row(node(chosen[i + kAhead]), node_bytes_);
    const std::uint32_t item = chosen[i];
    collector.offer_accepted(similarity_of(unit, annoy_vector(node(item)), norms_[item]),
                             ids_[item]);
  }
  check_unchanged();  // else what was scored cannot be believed
  collector.count_scored(candidates.size());
  const bool all_seen = candidates.size() == ids_.size();
  if (!all_seen && collector.found() < params.k) {
    Collector exact(params);
    exact.count_scored(candidates.size());
    collect_all(unit, exact);
    return exact.finish();
  }
  SearchResult result = collector.finish();
  result.path = "annoy";
  result.recall = 0.0;  // nobody measured what this effort reaches
  return result;
}

/// The accepted candidates that are worth an fp32 score: the best few times k by their codes.
std::vector<std::uint32_t> AnnoyIndex::best_by_codes(std::span<const std::uint32_t> candidates,
                                                     std::span<const float> unit_query,
                                                     const Collector& collector) const {
  const std::size_t depth = 2 * collector.k() + 20;
  std::vector<std::uint32_t> chosen;
  if (candidates.size() <= depth) {
    for (const std::uint32_t item : candidates) {
      if (norms_[item] != 0 && collector.accepts(ids_[item])) chosen.push_back(item);
    }
    return chosen;
  }
  const CodedRowQuery query(unit_query);
  std::vector<std::int32_t> products(candidates.size());
  row_products()(query.plane.data(), codes_->row(0), codes_->stride(), candidates.data(),
                 candidates.size(), products.data());
  std::vector<std::pair<float, std::uint32_t>> best;  // a heap, the worst in front
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const std::uint32_t item = candidates[i];
    const std::pair<float, std::uint32_t> scored{query.score(products[i], codes_->scales[item]),
                                                 item};
    if (best.size() == depth && scored.first <= best.front().first) continue;
    if (norms_[item] == 0 || !collector.accepts(ids_[item])) continue;
    if (best.size() == depth) {
      std::pop_heap(best.begin(), best.end(), std::greater<>());
      best.pop_back();
    }
    best.push_back(scored);
    std::push_heap(best.begin(), best.end(), std::greater<>());
  }
  for (const auto& [score, item] : best) chosen.push_back(item);
  return chosen;
}

std::optional<Effort> AnnoyIndex::effort_of(const SearchParams& params) const {
  const double most = static_cast<double>(ids_.size()) * static_cast<double>(roots_.size());
  return effort_for(calibration(), params, ids_, most);
}

SearchResult AnnoyIndex::search(std::span<const float> query, const SearchParams& params) const {
  check_unchanged();
  const std::vector<float> unit = unit_query(query, dim_, params);
  if (const std::optional<Effort> effort = effort_of(params)) {
    SearchResult result = search_with_effort(query, params, effort->search_k);
    if (result.path == "annoy" && result.recall < 1.0) result.recall = effort->recall_low;
    return result;
  }
  Collector collector(params);
  collect_all(unit, collector);
  return collector.finish();
}

std::optional<double> AnnoyIndex::estimated_us(const SearchParams& params) const {
  const std::optional<Effort> effort = effort_of(params);
  if (!effort) return std::nullopt;
  return effort->microseconds;
}

const Calibration& AnnoyIndex::calibration(const AskedQuestions& asked) const {
  calibrated_.call([&] {
    if (calibration_.empty()) calibration_ = measure(asked);
  });
  return calibration_;
}

Calibration AnnoyIndex::measure(const AskedQuestions& asked) const {
  if (ids_.empty()) return {};
  const std::size_t most = ids_.size() * roots_.size();  // walks every tree to its end
  std::vector<std::size_t> efforts;
  for (std::size_t search_k = 200; search_k < most; search_k *= 2) efforts.push_back(search_k);
  efforts.push_back(most);
  return measure_calibration(
      {annoy_vector(node(0)), node_bytes_ / sizeof(float), dim_, norms_, ids_}, efforts,
      [this](std::span<const float> query, const SearchParams& params, std::size_t search_k) {
        return search_with_effort(query, params, search_k);
      },
      asked);
}

}  // namespace nearlite
