#include <algorithm>
#include <array>
#include <cmath>
#include <queue>
#include <random>
#include <utility>

#include "annoy_format.h"
#include "collector.h"
#include "dot.h"
#include "nearlite/index/annoy_index.h"
#include "thread_clock.h"

namespace nearlite {
namespace {

constexpr std::size_t kCalibrationK = 10;

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

/// Asks for a whole row at once; the processor by itself would notice only after a few lines.
void prefetch(const std::byte* row, std::size_t bytes) noexcept {
  constexpr std::size_t kLine = 64;
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(row + at);
}

/// Share of ids that pass, of a spread sample.
double pass_rate(const std::vector<VectorId>& ids, const SearchParams& params) {
  constexpr std::size_t kSample = 256;
  if (!params.filter || ids.empty()) return 1.0;
  const std::size_t count = std::min(kSample, ids.size());
  std::size_t passed = 0;
  for (std::size_t i = 0; i < count; ++i)
    passed += params.filter(ids[i * ids.size() / count]) ? 1 : 0;
  return static_cast<double>(passed) / static_cast<double>(count);
}

}  // namespace

/// Walks all trees from one queue, nearest border first, and scores every item once.
class ForestWalk {
 public:
  ForestWalk(const std::byte* nodes, std::size_t dim, std::size_t num_items,
             std::span<const float> query)
      : nodes_(nodes), layout_(dim), num_items_(num_items), query_(query), seen_(num_items) {}

  /// The new candidates of at least `search_k` (repeated ones count, as in Annoy itself).
  std::vector<std::int32_t> candidates(std::span<const std::int32_t> roots, std::size_t search_k) {
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

  void take(std::size_t item) {
    if (!seen_.insert(item)) return;
    found_.push_back(static_cast<std::int32_t>(item));
  }

  const std::byte* nodes_;
  AnnoyLayout layout_;
  std::size_t num_items_;
  std::span<const float> query_;
  Seen seen_;
  std::vector<std::int32_t> found_;
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
  ForestWalk walk(mapped_.bytes().data(), dim_, ids_.size(), unit);
  const std::vector<std::int32_t> candidates =
      walk.candidates(roots_, std::max(search_k, params.k));
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    constexpr std::size_t kAhead = 4;  // rows on their way from memory while one is scored
    if (i + kAhead < candidates.size())
      prefetch(node(static_cast<std::size_t>(candidates[i + kAhead])), node_bytes_);
    const auto item = static_cast<std::size_t>(candidates[i]);
    if (norms_[item] == 0) continue;
    const float similarity = similarity_of(unit, annoy_vector(node(item)), norms_[item]);
    if (collector.wants(similarity)) collector.offer(similarity, ids_[item]);
  }
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
  result.recall = all_seen ? 1.0 : 0.0;
  return result;
}

std::optional<Effort> AnnoyIndex::effort_for(const SearchParams& params) const {
  if (params.recall >= 1.0 || ids_.empty()) return std::nullopt;
  const Calibration& known = calibration();
  std::optional<Effort> effort = known.cheapest_for(params.recall);
  if (!effort && params.index_only && !known.empty()) effort = known.efforts.back();
  if (!effort) return std::nullopt;
  // Calibrated for the 10 nearest of all. A larger k or a filter reaches farther out: more
  // candidates in proportion, until all are wanted.
  const double reach = static_cast<double>(std::min(params.k, ids_.size())) /
                       std::max(pass_rate(ids_, params), 1e-9) / static_cast<double>(kCalibrationK);
  const double wanted = static_cast<double>(effort->search_k) * std::max(1.0, reach);
  const double most = static_cast<double>(ids_.size()) * static_cast<double>(roots_.size());
  if (wanted >= most && !params.index_only) return std::nullopt;
  effort->microseconds *= std::max(1.0, reach);
  effort->search_k = static_cast<std::size_t>(std::min(wanted, most));
  return effort;
}

SearchResult AnnoyIndex::search(std::span<const float> query, const SearchParams& params) const {
  check_unchanged();
  const std::vector<float> unit = unit_query(query, dim_, params);
  if (const std::optional<Effort> effort = effort_for(params)) {
    SearchResult result = search_with_effort(query, params, effort->search_k);
    if (result.path == "annoy" && result.recall < 1.0) result.recall = effort->recall_low;
    return result;
  }
  Collector collector(params);
  collect_all(unit, collector);
  return collector.finish();
}

std::optional<double> AnnoyIndex::estimated_us(const SearchParams& params) const {
  const std::optional<Effort> effort = effort_for(params);
  if (!effort) return std::nullopt;
  return effort->microseconds;
}

const Calibration& AnnoyIndex::calibration() const {
  std::call_once(calibrated_, [this] {
    if (calibration_.empty()) calibration_ = measure();
  });
  return calibration_;
}

namespace {

/// Stored vectors moved a little: like questions near what is stored, but not the stored ones
/// themselves.
std::vector<std::vector<float>> calibration_queries(const std::byte* nodes,
                                                    const AnnoyLayout& layout,
                                                    std::span<const float> norms, std::size_t dim) {
  constexpr std::size_t kQueries = 128;
  constexpr float kJitter = 0.25F;  // of the vector's length
  std::mt19937 random(12345);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> queries;
  const std::size_t count = std::min(kQueries, norms.size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t item = i * norms.size() / count;
    if (norms[item] == 0) continue;
    const float* vector = annoy_vector(nodes + item * layout.node_bytes);
    const float noise = kJitter / std::sqrt(static_cast<float>(dim));
    std::vector<float> query(dim);
    for (std::size_t j = 0; j < dim; ++j)
      query[j] = vector[j] / norms[item] + noise * normal(random);
    queries.push_back(std::move(query));
  }
  return queries;
}

/// Share of the true neighbors that were found; as near as the last true one counts, whatever its
/// id.
double recall_of(const SearchResult& found, const SearchResult& truth) {
  if (truth.neighbors.empty()) return 1.0;
  const float border = truth.neighbors.back().similarity;
  std::size_t hits = 0;
  for (const Neighbor& neighbor : found.neighbors) hits += neighbor.similarity >= border ? 1 : 0;
  return static_cast<double>(std::min(hits, truth.neighbors.size())) /
         static_cast<double>(truth.neighbors.size());
}

Effort summarize(std::size_t search_k, std::span<const double> recalls, double elapsed_us) {
  const auto count = static_cast<double>(recalls.size());
  double sum = 0;
  double squares = 0;
  for (const double recall : recalls) {
    sum += recall;
    squares += recall * recall;
  }
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  // One-sided 95 %; without a single miss the rule of three bounds what was not seen.
  const double margin =
      std::max(1.645 * deviation / std::sqrt(count),
               mean >= 1.0 ? 3.0 / (count * static_cast<double>(kCalibrationK)) : 0.0);
  return {.search_k = search_k,
          .recall = mean,
          .recall_low = std::max(0.0, mean - margin),
          .microseconds = elapsed_us / count};
}

}  // namespace

std::vector<SearchResult> AnnoyIndex::true_neighbors(const std::vector<std::vector<float>>& queries,
                                                     const SearchParams& params) const {
  constexpr std::size_t kBlock =
      64;  // rows: they stay in a near cache while every query looks at them
  std::vector<std::vector<float>> units;
  units.reserve(queries.size());
  std::vector<Collector> collectors(queries.size(), Collector(params));
  for (const auto& query : queries) units.push_back(unit_query(query, dim_, params));
  for (std::size_t at = 0; at < ids_.size(); at += kBlock) {
    const std::size_t count = std::min(kBlock, ids_.size() - at);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      scan_rows(units[i], annoy_vector(node(at)), node_bytes_ / sizeof(float),
                std::span(norms_).subspan(at, count), std::span(ids_).subspan(at, count),
                collectors[i]);
    }
  }
  std::vector<SearchResult> results;
  results.reserve(queries.size());
  for (Collector& collector : collectors) results.push_back(collector.finish());
  return results;
}

Calibration AnnoyIndex::measure() const {
  const AnnoyLayout layout(dim_);
  const auto queries = calibration_queries(mapped_.bytes().data(), layout, norms_, dim_);
  if (queries.empty()) return {};
  const SearchParams params{.k = kCalibrationK};
  const std::vector<SearchResult> truth = true_neighbors(queries, params);
  const ThreadStopwatch scan;
  Collector one(params);
  collect_all(unit_query(queries[0], dim_, params), one);
  const double scan_us = scan.elapsed_us();

  Calibration calibration;
  const std::size_t most = ids_.size() * roots_.size();  // walks every tree to its end
  for (std::size_t search_k = 200;; search_k *= 2) {
    search_k = std::min(search_k, most);
    std::vector<double> recalls;
    double elapsed_us = 0;
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const ThreadStopwatch watch;
      const SearchResult found = search_with_effort(queries[i], params, search_k);
      elapsed_us += watch.elapsed_us();
      recalls.push_back(recall_of(found, truth[i]));
    }
    const Effort effort = summarize(search_k, recalls, elapsed_us);
    calibration.efforts.push_back(effort);
    // More effort than this finds nothing new, or costs more than looking at every vector.
    if (effort.recall >= 0.9995 || search_k == most ||
        (effort.recall_low >= 0.99 && effort.microseconds > scan_us)) {
      break;
    }
  }
  return calibration;
}

}  // namespace nearlite
