// How the links are found: rows are inserted in random order; each walks the graph so far, links to
// the diverse ones among the nearest it found (the heuristic of HNSW, "robust prune" of DiskANN),
// and these link back. Rows are inserted in batches that do not see each other (as ParlayANN does),
// so that threads can share a batch and the result does not depend on their number.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <functional>
#include <numeric>
#include <thread>

#include "graph.h"
#include "nearlite/base/checksum.h"
#include "random.h"

namespace nearlite {
namespace {

struct Near {
  float distance = 0;  // squared, of the codes
  std::uint32_t row = 0;
};

bool is_nearer_row(const Near& a, const Near& b) noexcept {
  return a.distance < b.distance || (a.distance == b.distance && a.row < b.row);
}

/// Runs work(i, thread) for i below count on some threads; rethrows what one of them threw.
void for_each_on(std::size_t threads, std::size_t count,
                 const std::function<void(std::size_t, std::size_t)>& work) {
  constexpr std::size_t kChunk = 16;
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  const auto run = [&](std::size_t thread) {
    try {
      for (std::size_t at = next.fetch_add(kChunk); at < count; at = next.fetch_add(kChunk)) {
        for (std::size_t i = at; i < std::min(count, at + kChunk); ++i) work(i, thread);
      }
    } catch (...) {  // out of memory: must not end the process
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min(threads, count / kChunk + 1); ++i)
      helpers.emplace_back(run, i);
    run(0);
  }
  if (failure) std::rethrow_exception(failure);
}

/// What one thread needs.
struct Workspace {
  GraphWalk walk;
  CodedRowQuery query;
  std::vector<std::uint32_t> rows;
  std::vector<std::int32_t> products;
  std::vector<Near> near;
  std::vector<Near> kept;
  std::vector<float> unit;
};

/// Links the rows of one level, in the order given.
class LevelBuilder {
 public:
  /// `graph` holds the finished levels above, if there are any; `order` names rows of `codes`.
  LevelBuilder(Graph& graph, std::size_t level, const RowCodes& codes,
               std::span<const std::uint32_t> order, std::size_t num_entries,
               const GraphParams& params)
      : graph_(graph),
        level_(graph.levels[level]),
        level_index_(level),
        codes_(codes),
        order_(order),
        num_entries_(num_entries),
        params_(params),
        work_(std::max<std::size_t>(1, params.threads)) {
    level_.size = level == 0 ? codes.size() : order.size();
  }

  void build() {
    // While it grows a list may be longer: then it is not thinned out at every new link.
    level_.degree = params_.degree + params_.degree / 2;
    level_.links = PageMemory(level_.size * level_.degree * sizeof(std::uint32_t));
    if (level_.size > 0) std::memset(level_.links.data(), 0xFF, level_.links.size());
    num_links_.resize(level_.size);
    measure_lengths();
    for (std::size_t done = 0; done < order_.size();) {
      const std::size_t most = std::max<std::size_t>(1, order_.size() / 50);
      const std::size_t size =
          std::min({std::max<std::size_t>(1, done / 4), most, order_.size() - done});
      enter_at_first(done);
      insert_batch(order_.subspan(done, size));
      done += size;
    }
    enter_at_first(order_.size());
    shorten();
    connect();
  }

 private:
  /// |y^|^2 of every row.
  void measure_lengths() {
    squares_.resize(level_.size);
    for_each_on(work_.size(), level_.size, [&](std::size_t i, std::size_t) {
      std::int32_t sum = 0;  // at most 128^2 * 65536 = 2^30
      const std::uint8_t* row = codes_.row(i);
      for (std::size_t j = 0; j < codes_.stride(); ++j) {
        const int code = static_cast<int>(row[j]) - 128;
        sum += code * code;
      }
      squares_[i] = codes_.scales[i] * codes_.scales[i] * static_cast<float>(sum);
    });
  }

  /// Walks begin at the levels above once these rows are all linked here, until then at the first.
  void enter_at_first(std::size_t num_linked) {
    const bool has_above = level_index_ + 1 < graph_.levels.size();
    if (has_above && num_linked >= graph_.levels[level_index_ + 1].size) {
      walk_above_ = true;
      level_.entries.clear();
      return;
    }
    const auto count = static_cast<std::ptrdiff_t>(std::min(num_linked, num_entries_));
    level_.entries.assign(order_.begin(), order_.begin() + count);
  }

  void insert_batch(std::span<const std::uint32_t> batch) {
    // All walks see the graph as it was before the batch.
    std::vector<std::vector<Near>> chosen(batch.size());
    for_each_on(work_.size(), batch.size(), [&](std::size_t i, std::size_t thread) {
      Workspace& work = work_[thread];
      find_near(batch[i], work);
      prune(work);
      chosen[i] = work.kept;
    });
    std::vector<std::pair<std::uint32_t, std::uint32_t>> back;  // (who is linked back, new row)
    for (std::size_t i = 0; i < batch.size(); ++i) {
      set_links(batch[i], chosen[i]);
      for (const Near& near : chosen[i]) back.emplace_back(near.row, batch[i]);
    }
    std::sort(back.begin(), back.end());
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < back.size(); ++i) {
      if (i == 0 || back[i].first != back[i - 1].first) starts.push_back(i);
    }
    if (starts.empty()) return;
    starts.push_back(back.size());
    for_each_on(work_.size(), starts.size() - 1, [&](std::size_t i, std::size_t thread) {
      for (std::size_t j = starts[i]; j < starts[i + 1]; ++j)
        add_link(back[j].first, back[j].second, work_[thread]);
    });
  }

  /// The nearest that a walk finds, in work.near.
  void find_near(std::uint32_t row, Workspace& work) {
    // The row itself as a unit query: the mean, which its code lacks, is in every score.
    work.unit.resize(codes_.dim());
    const std::uint8_t* code = codes_.row(row);
    for (std::size_t j = 0; j < work.unit.size(); ++j) {
      work.unit[j] =
          codes_.mean[j] + codes_.scales[row] * static_cast<float>(static_cast<int>(code[j]) - 128);
    }
    const CodedRowQuery query(work.unit);
    const auto found = walk_above_
                           ? work.walk.find(graph_, codes_, query, params_.effort, level_index_)
                           : work.walk.find_in(level_, codes_, query, params_.effort);
    work.rows.clear();
    for (const GraphCandidate& candidate : found) work.rows.push_back(candidate.row());
    measure_near(row, work);
  }

  /// Distances of work.rows to a row, sorted, in work.near.
  void measure_near(std::uint32_t row, Workspace& work) const {
    work.query.set_row(codes_.row(row), codes_.stride(), codes_.scales[row]);
    measure(work);
    work.near.clear();
    for (std::size_t i = 0; i < work.rows.size(); ++i)
      work.near.push_back({distance(work, i, squares_[row]), work.rows[i]});
    std::sort(work.near.begin(), work.near.end(), is_nearer_row);
  }

  void measure(Workspace& work) const {
    work.products.resize(work.rows.size());
    row_products()(work.query.plane.data(), codes_.row(0), codes_.stride(), work.rows.data(),
                   work.rows.size(), work.products.data());
  }

  /// Of the row that is work.query, of this square, to work.rows[i], after measure().
  float distance(const Workspace& work, std::size_t i, float square) const {
    const std::uint32_t row = work.rows[i];
    return std::max(0.0F, square + squares_[row] -
                              2.0F * work.query.score(work.products[i], codes_.scales[row]));
  }

  /// Of work.near, nearest first, those that no kept one is nearer to: in work.kept.
  void prune(Workspace& work) const {
    work.kept.clear();
    while (!work.near.empty()) {
      const Near nearest = work.near.front();
      work.kept.push_back(nearest);
      if (work.kept.size() == params_.degree) break;
      work.rows.clear();
      for (const Near& near : std::span(work.near).subspan(1)) work.rows.push_back(near.row);
      work.query.set_row(codes_.row(nearest.row), codes_.stride(), codes_.scales[nearest.row]);
      measure(work);
      std::size_t left = 0;
      for (std::size_t i = 0; i + 1 < work.near.size(); ++i) {
        if (distance(work, i, squares_[nearest.row]) <= work.near[i + 1].distance) continue;
        work.near[left++] = work.near[i + 1];
      }
      work.near.resize(left);
    }
  }

  void set_links(std::uint32_t row, std::span<const Near> near) {
    const auto links = level_.links_of(row);
    for (std::size_t i = 0; i < near.size(); ++i) links[i] = near[i].row;
    std::fill(links.begin() + static_cast<std::ptrdiff_t>(near.size()), links.end(), kNoRow);
    num_links_[row] = static_cast<std::uint32_t>(near.size());
  }

  void add_link(std::uint32_t row, std::uint32_t to, Workspace& work) {
    const auto links = level_.links_of(row);
    if (num_links_[row] < links.size()) {
      links[num_links_[row]++] = to;
    } else {
      thin_out(row, to, work);
    }
  }

  /// Prunes the list of a row, with one more if it is not kNoRow.
  void thin_out(std::uint32_t row, std::uint32_t more, Workspace& work) {
    const auto links = level_.links_of(row);
    work.rows.assign(links.begin(), links.begin() + num_links_[row]);
    if (more != kNoRow) work.rows.push_back(more);
    measure_near(row, work);
    prune(work);
    set_links(row, work.kept);
  }

  /// Lists of the final length.
  void shorten() {
    for_each_on(work_.size(), order_.size(), [&](std::size_t i, std::size_t thread) {
      if (num_links_[order_[i]] > params_.degree) thin_out(order_[i], kNoRow, work_[thread]);
    });
    PageMemory links(level_.size * params_.degree * sizeof(std::uint32_t));
    auto* to = reinterpret_cast<std::uint32_t*>(links.data());
    for (std::size_t i = 0; i < level_.size; ++i)
      to = std::copy_n(level_.links_of(i).begin(), params_.degree, to);
    level_.links = std::move(links);
    level_.degree = params_.degree;
  }

  /// Rows that no walk can reach get a link from the nearest one that has room, or become entries.
  void connect() {
    std::vector<bool> reached(level_.size);
    std::vector<std::uint32_t> open;
    const auto reach = [&](std::uint32_t from) {
      if (reached[from]) return;
      reached[from] = true;
      open.push_back(from);
      while (!open.empty()) {
        const std::uint32_t row = open.back();
        open.pop_back();
        for (const std::uint32_t linked : level_.links_of(row)) {
          if (linked == kNoRow) break;
          if (reached[linked]) continue;
          reached[linked] = true;
          open.push_back(linked);
        }
      }
    };
    for (const std::uint32_t entry : level_.entries) reach(entry);
    if (walk_above_) {
      for (const std::uint32_t row : order_.first(graph_.levels[level_index_ + 1].size)) reach(row);
    }
    for (const std::uint32_t row : order_) {
      if (reached[row]) continue;
      if (!link_from_near(row)) level_.entries.push_back(row);
      reach(row);
    }
  }

  bool link_from_near(std::uint32_t row) {
    find_near(row, work_[0]);
    for (const Near& near : work_[0].near) {
      if (near.row == row || num_links_[near.row] >= params_.degree) continue;
      level_.links_of(near.row)[num_links_[near.row]++] = row;
      return true;
    }
    return false;
  }

  Graph& graph_;
  GraphLevel& level_;
  std::size_t level_index_;
  const RowCodes& codes_;
  std::span<const std::uint32_t> order_;  // rows to link
  std::size_t num_entries_;
  const GraphParams& params_;
  std::vector<Workspace> work_;  // one per thread
  std::vector<std::uint32_t> num_links_;
  std::vector<float> squares_;
  bool walk_above_ = false;
};

bool same_codes(const RowCodes& codes, std::uint32_t a, std::uint32_t b) {
  return codes.scales[a] == codes.scales[b] &&
         std::memcmp(codes.row(a), codes.row(b), codes.stride()) == 0;
}

/// Rows of the same codes stand for each other: only the first is linked, and leads to the others.
/// Else many equal vectors would only know each other. Returns the rows to link.
std::vector<std::uint32_t> group_equal_rows(const RowCodes& codes, std::span<const float> norms,
                                            std::vector<std::uint32_t>& next_same) {
  const std::size_t count = codes.size();
  next_same.assign(count, kNoRow);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes(count);
  for (std::size_t i = 0; i < count; ++i) {
    hashes[i] = {xxh3_64(std::as_bytes(std::span(codes.row(i), codes.stride()))),
                 static_cast<std::uint32_t>(i)};
  }
  std::sort(hashes.begin(), hashes.end());
  std::vector<bool> grouped(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t row = hashes[i].second;
    if (norms[row] == 0 || grouped[row]) continue;
    std::uint32_t last = row;
    for (std::size_t j = i + 1; j < count && hashes[j].first == hashes[i].first; ++j) {
      const std::uint32_t other = hashes[j].second;
      if (norms[other] == 0 || grouped[other] || !same_codes(codes, row, other)) continue;
      grouped[other] = true;
      next_same[last] = other;
      last = other;
    }
  }
  std::vector<std::uint32_t> alone;
  for (std::size_t i = 0; i < count; ++i) {
    if (norms[i] != 0 && !grouped[i]) alone.push_back(static_cast<std::uint32_t>(i));
  }
  return alone;
}

constexpr std::size_t kSampleShare = 16;    // one row in so many is in the sample above
constexpr std::size_t kNoSampleTo = 8'192;  // rows that need none

}  // namespace

std::vector<std::size_t> sample_sizes(std::size_t rows) {
  std::vector<std::size_t> sizes;
  for (std::size_t size = rows; size > kNoSampleTo;) sizes.push_back(size /= kSampleShare);
  return sizes;
}

Graph build_graph(const RowCodes& codes, std::span<const float> norms, const GraphParams& params) {
  Graph graph;
  std::vector<std::uint32_t> order = group_equal_rows(codes, norms, graph.next_same);
  Random random(params.seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);

  const std::vector<std::size_t> samples = sample_sizes(order.size());
  graph.levels.resize(samples.size() + 1);
  if (!samples.empty())
    graph.members.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(samples[0]));
  graph.copy_member_codes(codes);
  std::vector<std::uint32_t> first(graph.members.size());
  std::iota(first.begin(), first.end(), 0);
  for (std::size_t level = samples.size(); level > 0; --level) {
    const auto rows = std::span(first).first(samples[level - 1]);
    GraphParams thinner = params;
    thinner.degree = std::max<std::size_t>(4, params.degree / 2);
    LevelBuilder(graph, level, graph.member_codes, rows, rows.size() / kSampleShare, thinner)
        .build();
  }
  LevelBuilder(graph, 0, codes, order, std::max<std::size_t>(1, order.size() / kSampleShare),
               params)
      .build();
  return graph;
}

}  // namespace nearlite
