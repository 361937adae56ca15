#include <algorithm>
#include <functional>

#include "collector.h"
#include "graph.h"

namespace nearlite {
namespace {

constexpr std::size_t kStarts = 8;  // entries that a walk goes on from

/// How many of the best candidates are scored in fp32: what the codes mixed up comes right again.
std::size_t depth_for(std::size_t k) { return 2 * k + 20; }

}  // namespace

void Graph::copy_member_codes(const RowCodes& codes) {
  member_codes = RowCodes(members.size(), codes.dim());
  member_codes.mean = codes.mean;
  for (std::size_t i = 0; i < members.size(); ++i) {
    std::copy_n(codes.row(members[i]), codes.stride(), member_codes.row(i));
    member_codes.scales[i] = codes.scales[members[i]];
  }
}

void GraphWalk::begin(const GraphLevel& level, std::size_t effort) {
  for (std::size_t i = 0; i < num_seen_; ++i) seen_[rows_[i] / 64] = 0;
  num_seen_ = 0;
  seen_.resize(std::max(seen_.size(), (level.size + 63) / 64));
  rows_.resize(std::max(rows_.size(), level.size));
  products_.resize(std::max({products_.size(), level.degree, level.entries.size()}));
  effort_ = std::max<std::size_t>(1, effort);
  pool_.resize(std::max(pool_.size(), effort_));
  pool_size_ = 0;
  next_ = 0;
}

/// False if it was seen before.
inline bool GraphWalk::see(std::uint32_t row) noexcept {
  std::uint64_t& word = seen_.data()[row / 64];
  const std::uint64_t bit = std::uint64_t{1} << (row % 64);
  if ((word & bit) != 0) return false;
  word |= bit;
  rows_.data()[num_seen_++] = row;
  return true;
}

inline void GraphWalk::insert(GraphCandidate candidate) noexcept {
  GraphCandidate* pool = pool_.data();
  if (pool_size_ == effort_) {
    if (candidate < pool[pool_size_ - 1]) return;
  } else {
    ++pool_size_;
  }
  std::size_t at = pool_size_ - 1;
  for (; at > 0 && pool[at - 1] < candidate; --at) pool[at] = pool[at - 1];
  pool[at] = candidate;
  next_ = std::min(next_, at);
}

/// Begins with what the level above found, and with the best of the entries.
void GraphWalk::enter(const GraphLevel& level, const RowCodes& codes, const CodedRowQuery& query) {
  const std::size_t count = level.entries.size();
  row_products()(query.plane.data(), codes.row(0), codes.stride(), level.entries.data(), count,
                 products_.data());
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t row = level.entries[i];
    starts_.emplace_back(query.score(products_[i], codes.scales[row]), row);
  }
  num_scored_ += count;
  const std::size_t starts = std::min(starts_.size(), kStarts);
  std::partial_sort(starts_.begin(), starts_.begin() + static_cast<std::ptrdiff_t>(starts),
                    starts_.end(), std::greater<>());
  for (std::size_t i = 0; i < starts; ++i) {
    if (see(starts_[i].row())) insert(starts_[i]);
  }
  starts_.clear();
}

void GraphWalk::expand(const GraphLevel& level, const RowCodes& codes, const CodedRowQuery& query,
                       std::uint32_t row) {
  constexpr std::size_t kAhead = 4;  // rows that the products themselves do not ask for in time
  const float* scales = codes.scales.data();
  const std::uint32_t* fresh = rows_.data() + num_seen_;
  std::size_t count = 0;
  for (const std::uint32_t linked : level.links_of(row)) {
    if (linked == kNoRow) break;
    if (!see(linked)) continue;
    if (count++ < kAhead) prefetch_row(codes.row(linked), codes.stride());
    __builtin_prefetch(scales + linked);
  }
  row_products()(query.plane.data(), codes.row(0), codes.stride(), fresh, count, products_.data());
  num_scored_ += count;
  const std::int32_t* products = products_.data();
  for (std::size_t i = 0; i < count; ++i)
    insert({query.score(products[i], scales[fresh[i]]), fresh[i]});
}

void GraphWalk::walk(const GraphLevel& level, const RowCodes& codes, const CodedRowQuery& query,
                     std::size_t effort) {
  begin(level, effort);
  enter(level, codes, query);
  while (next_ < pool_size_) {
    GraphCandidate& candidate = pool_[next_++];
    if (candidate.followed()) continue;
    candidate.set_followed();
    expand(level, codes, query, candidate.row());
    if (next_ < pool_size_)
      prefetch_row(level.links_of(pool_[next_].row()).data(), level.degree * sizeof(std::uint32_t));
  }
}

std::span<const GraphCandidate> GraphWalk::find(const Graph& graph, const RowCodes& codes,
                                                const CodedRowQuery& query, std::size_t effort,
                                                std::size_t goal) {
  constexpr std::size_t kSampleEffort = 16;
  num_scored_ = 0;
  starts_.clear();
  for (std::size_t level = graph.levels.size() - 1; level > goal; --level) {
    walk(graph.levels[level], graph.member_codes, query, kSampleEffort);
    for (std::size_t i = 0; i < pool_size_; ++i) {
      const std::uint32_t row = pool_[i].row();
      starts_.push_back(pool_[i].with_row(level == 1 ? graph.members[row] : row));
    }
  }
  walk(graph.levels[goal], codes, query, effort);
  return {pool_.data(), pool_size_};
}

std::span<const GraphCandidate> GraphWalk::find_in(const GraphLevel& level, const RowCodes& codes,
                                                   const CodedRowQuery& query, std::size_t effort) {
  num_scored_ = 0;
  starts_.clear();
  walk(level, codes, query, effort);
  return {pool_.data(), pool_size_};
}

namespace {

/// The best accepted rows, best first.
std::vector<std::uint32_t> choose(const GraphRows& rows, std::span<const GraphCandidate> found,
                                  const SearchParams& params, const Collector& collector) {
  const std::size_t depth = depth_for(params.k);
  std::vector<std::uint32_t> chosen;
  for (const GraphCandidate& candidate : found) {
    if (chosen.size() >= depth) break;
    std::size_t of_these = 0;  // of rows with the same codes more than k never matter
    for (std::uint32_t row = candidate.row(); row != kNoRow && of_these < params.k;
         row = rows.graph.next_same[row]) {
      if (rows.norms[row] == 0 || !collector.accepts(rows.ids[row])) continue;
      chosen.push_back(row);
      ++of_these;
    }
  }
  return chosen;
}

}  // namespace

std::optional<SearchResult> search_graph(const GraphRows& rows, GraphWalk& walk,
                                         std::span<const float> unit_query,
                                         const SearchParams& params, std::size_t effort,
                                         const std::function<void(std::span<const float>)>& touch) {
  const auto found = walk.find(rows.graph, rows.codes, CodedRowQuery(unit_query),
                               std::max(effort, std::min(params.k, rows.ids.size())));
  Collector collector(params);
  const std::vector<std::uint32_t> chosen = choose(rows, found, params, collector);
  const std::size_t dim = rows.codes.dim();
  const auto vector_of = [&](std::size_t i) {
    return rows.values.subspan(std::size_t{chosen[i]} * dim, dim);
  };
  constexpr std::size_t kAhead = 3;  // rows on their way from memory while one is scored
  for (std::size_t i = 0; i < std::min(kAhead, chosen.size()); ++i)
    prefetch_row(vector_of(i).data(), dim * sizeof(float));
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (i + kAhead < chosen.size()) prefetch_row(vector_of(i + kAhead).data(), dim * sizeof(float));
    const auto vector = vector_of(i);
    touch(vector);
    collector.offer_accepted(similarity_of(unit_query, vector.data(), rows.norms[chosen[i]]),
                             rows.ids[chosen[i]]);
  }
  if (collector.found() < std::min(params.k, rows.ids.size())) return std::nullopt;
  collector.count_scored(walk.num_scored());
  SearchResult result = collector.finish();
  result.path = "graph";
  result.recall = 0.0;  // nobody measured what this effort reaches
  return result;
}

}  // namespace nearlite
