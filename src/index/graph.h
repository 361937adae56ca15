#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "row_codes.h"

namespace nearlite {

/// No link: fills the rest of a row's list.
inline constexpr std::uint32_t kNoRow = UINT32_MAX;

/// Which rows are near which, of all rows or of a sample of them.
struct GraphLevel {
  std::size_t size = 0;                // rows
  std::size_t degree = 0;              // links per row
  PageMemory links;                    // uint32 [size, degree], the rest of a list kNoRow
  std::vector<std::uint32_t> entries;  // rows that every walk of this level looks at first

  std::span<const std::uint32_t> links_of(std::size_t row) const noexcept {
    return {reinterpret_cast<const std::uint32_t*>(links.data()) + row * degree, degree};
  }
  std::span<std::uint32_t> links_of(std::size_t row) noexcept {
    return {reinterpret_cast<std::uint32_t*>(links.data()) + row * degree, degree};
  }
};

/// What a search walks along: all rows, and above them ever smaller random samples, through which a
/// walk comes near its goal (as in HNSW, Malkov and Yashunin 2016). The rows of a sample have
/// numbers of their own: sample 1 holds the rows `members`, each further one the first few of it.
struct Graph {
  std::vector<GraphLevel> levels;  // at least one: [0] of all rows
  std::vector<std::uint32_t> members;
  RowCodes member_codes;                 // of the members, side by side
  std::vector<std::uint32_t> next_same;  // [rows] the next row of the same codes, or kNoRow

  /// Fills member_codes.
  void copy_member_codes(const RowCodes& codes);
};

/// A row that a walk found, in one number, so that a list of them is quickly kept in order: above,
/// its score in bits that compare as the score does; below, the row (a smaller one is better) and
/// whether its links were followed.
class GraphCandidate {
 public:
  static constexpr std::size_t kMaxRows = std::size_t{1} << 31;

  GraphCandidate() = default;
  GraphCandidate(float score, std::uint32_t row) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(score);
    const std::uint32_t ordered = (bits >> 31) != 0 ? ~bits : bits | 0x8000'0000U;
    key_ = (std::uint64_t{ordered} << 32) | std::uint32_t{~row << 1};
  }
  std::uint32_t row() const noexcept {
    return ~static_cast<std::uint32_t>(key_ >> 1) & 0x7FFF'FFFFU;
  }
  /// The same score for a row of another numbering, not followed.
  GraphCandidate with_row(std::uint32_t row) const noexcept {
    GraphCandidate other;
    other.key_ = (key_ & 0xFFFF'FFFF'0000'0000U) | std::uint32_t{~row << 1};
    return other;
  }
  bool followed() const noexcept { return (key_ & 1) != 0; }
  void set_followed() noexcept { key_ |= 1; }
  /// Greater: better.
  friend auto operator<=>(const GraphCandidate&, const GraphCandidate&) = default;

 private:
  std::uint64_t key_ = 0;
};

/// The memory of one walk, to be used again for the next one.
class GraphWalk {
 public:
  /// The `effort` best rows that a walk finds, best first; equal scores: smaller row first. Only
  /// rows that links or entries name are found, each once. The result lives until the next walk.
  /// codes: of the rows of the level `goal`, down to which it goes.
  std::span<const GraphCandidate> find(const Graph& graph, const RowCodes& codes,
                                       const CodedRowQuery& query, std::size_t effort,
                                       std::size_t goal = 0);
  /// The same within one level, from its entries alone.
  std::span<const GraphCandidate> find_in(const GraphLevel& level, const RowCodes& codes,
                                          const CodedRowQuery& query, std::size_t effort);
  /// Rows whose score the last walk computed.
  std::size_t num_scored() const noexcept { return num_scored_; }

 private:
  void walk(const GraphLevel& level, const RowCodes& codes, const CodedRowQuery& query,
            std::size_t effort);
  void begin(const GraphLevel& level, std::size_t effort);
  void enter(const GraphLevel& level, const RowCodes& codes, const CodedRowQuery& query);
  void expand(const GraphLevel& level, const RowCodes& codes, const CodedRowQuery& query,
              std::uint32_t row);
  void insert(GraphCandidate candidate) noexcept;
  bool see(std::uint32_t row) noexcept;

  std::vector<std::uint64_t> seen_;   // a bit per row
  std::vector<std::uint32_t> rows_;   // whose bits are set
  std::vector<GraphCandidate> pool_;  // the first pool_size_ of at most effort_: best first
  std::size_t effort_ = 0;
  std::size_t pool_size_ = 0;
  std::size_t next_ = 0;  // first one of the pool that may not be followed
  std::size_t num_seen_ = 0;
  std::size_t num_scored_ = 0;
  std::vector<std::int32_t> products_;
  std::vector<GraphCandidate> starts_;  // found by the level above
};

/// A graph and what it stands for; somebody else's.
struct GraphRows {
  const Graph& graph;
  const RowCodes& codes;
  std::span<const VectorId> ids;
  std::span<const float> norms;
  std::span<const float> values;  // [rows, dim]
};

/// Walks with this effort and scores the best in fp32; `touch` is called with each row before it is
/// read. Nothing if the walk found fewer than min(params.k, rows) that pass.
std::optional<SearchResult> search_graph(const GraphRows& rows, GraphWalk& walk,
                                         std::span<const float> unit_query,
                                         const SearchParams& params, std::size_t effort,
                                         const std::function<void(std::span<const float>)>& touch);

struct GraphParams {
  std::size_t degree = 32;   // links per row at most
  std::size_t effort = 100;  // candidates kept while a row is inserted
  float alpha = 1.0F;        // above 1: some links reach farther than the nearest
  std::uint64_t seed = 1;    // order of insertion
  std::size_t threads = 1;   // changes the time only: the graph is the same for any number
};

/// How many rows the samples above `rows` rows have.
std::vector<std::size_t> sample_sizes(std::size_t rows);

/// Links all rows of length above 0. Same codes and parameters: the same graph, whatever the number
/// of threads and the processor.
Graph build_graph(const RowCodes& codes, std::span<const float> norms, const GraphParams& params);

}  // namespace nearlite
