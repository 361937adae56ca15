#include "nearlite/index/segment.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "code_scan.h"
#include "collector.h"
#include "nearlite/base/ascending.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "row_codes.h"
#include "segment_format.h"

namespace nearlite {

std::shared_ptr<const Segment> Segment::open(const std::filesystem::path& file,
                                             const SegmentExpectation& expectation,
                                             std::shared_ptr<MemoryBudget> budget) {
  return std::shared_ptr<const Segment>(
      new Segment(std::make_unique<BlockFile>(file, kSegmentFile, expectation, std::move(budget))));
}

Segment::Segment(std::unique_ptr<BlockFile> file)
    : file_(std::move(file)), layout_(std::make_unique<SegmentLayout>(segment_layout(*file_))) {}

Segment::~Segment() = default;

std::size_t Segment::size() const noexcept { return layout_->ids.size(); }
std::size_t Segment::dim() const noexcept { return file_->info().dim; }
const SegmentInfo& Segment::info() const noexcept { return file_->info(); }
const SegmentDigest& Segment::digest() const noexcept { return file_->digest(); }
const std::filesystem::path& Segment::file() const noexcept { return file_->path(); }
std::uint64_t Segment::scan_bytes() const noexcept {
  return layout_->codes.high.empty() ? layout_->values.size_bytes() : layout_->codes.scan_bytes();
}

void Segment::verify() const {
  file_->check_unchanged();
  file_->verify_all();
  file_->check_unchanged();
}

VectorRows Segment::rows() const {
  verify();
  return {layout_->ids, layout_->values, dim()};
}

std::span<const VectorId> Segment::ids() const {
  file_->check_unchanged();
  file_->verify(layout_->ids);
  return layout_->ids;
}

std::optional<std::size_t> Segment::position_of(VectorId id) const {
  file_->check_unchanged();
  file_->verify(layout_->ids);
  const std::size_t position = find_ascending(layout_->ids, id);
  return position < size() ? std::optional(position) : std::nullopt;
}

std::span<const float> Segment::vector_at(std::size_t position) const {
  const std::span<const float> row = layout_->values.subspan(position * dim(), dim());
  file_->verify(row);
  return row;
}

namespace {

constexpr std::size_t kRowsAhead = 4;  // on their way from memory while one is scored

/// Rows that a query wants scored one by one, if they are so few that a scan of all codes costs
/// more. Reading a row that nobody asked for early waits for memory, some 16 times as long as
/// scanning one.
bool are_few(std::size_t wanted, std::size_t rows) { return wanted < rows / 16; }

}  // namespace

/// What a scan reads of these rows, but for the low halves of single ones.
void Segment::verify_scanned(std::size_t first, std::size_t count) const {
  const CodeTable& codes = layout_->codes;
  for (const auto& values : {layout_->norms, codes.scales, codes.code_norms, codes.residual_norms,
                             codes.high_norms, codes.high_residuals, codes.high_along})
    file_->verify(values.subspan(first, count));
  const std::size_t row_bytes = half_code_bytes(dim());
  file_->verify(codes.high.subspan(first * row_bytes, code_blocks(count) * kCodeBlock * row_bytes));
}

void Segment::collect(std::span<const float> unit_query, Collector& collector) const {
  collect(std::span(&unit_query, 1), std::span(&collector, 1));
}

void Segment::collect(std::span<const std::span<const float>> unit_queries,
                      std::span<Collector> collectors) const {
  file_->check_unchanged();
  if (size() == 0 || collectors.empty()) return;
  file_->verify(layout_->ids);
  // The filter and k of one are those of all.
  const IdSet* among = collectors[0].among();
  if (among != nullptr) {
    const auto wanted = among->between(layout_->ids.front(), layout_->ids.back());
    if (are_few(wanted.size(), size())) {
      collect_members(wanted, unit_queries, collectors);
      file_->check_unchanged();
      return;
    }
  }
  // Asked for many, nearly all rows would be scored again.
  const bool use_codes =
      !layout_->codes.high.empty() && collectors[0].k() < size() / 8 && size() <= UINT32_MAX;
  if (use_codes) {
    collect_by_codes(unit_queries, collectors);
  } else {
    verify();
    for (std::size_t i = 0; i < collectors.size(); ++i) {
      scan_rows(unit_queries[i], layout_->values.data(), dim(), layout_->norms, layout_->ids,
                collectors[i]);
    }
  }
  file_->check_unchanged();  // else what was offered cannot be believed
  file_->keep_to_budget();
}

void Segment::collect_by_codes(std::span<const std::span<const float>> unit_queries,
                               std::span<Collector> collectors) const {
  file_->verify(layout_->codes.mean);
  const std::size_t low_bytes = half_code_bytes(dim());
  std::vector<CodeScan::Rows> rows;
  rows.reserve(collectors.size());  // scans keep references
  std::vector<CodeScan> scans;
  for (std::size_t i = 0; i < collectors.size(); ++i) {
    rows.push_back(
        {.touch =
             [&](std::size_t row) {
               file_->verify(layout_->codes.low.subspan(row * low_bytes, low_bytes));
             },
         .score = [&, i](std::size_t row) { offer_row(row, unit_queries[i], collectors[i]); },
         .ahead = [&](std::size_t row) { prefetch_vector(row); }});
    scans.emplace_back(layout_->codes, unit_queries[i], layout_->norms, layout_->ids, collectors[i],
                       rows[i]);
  }
  // Many queries share what was read from memory. Blocks are verified, and memory is given back, a
  // few megabytes at a time.
  constexpr std::size_t kPieceBytes = std::size_t{4} << 20;
  const std::size_t piece =
      std::max<std::size_t>(1, kPieceBytes / low_bytes / CodeScan::kMostRows) * CodeScan::kMostRows;
  for (std::size_t from = 0; from < size(); from += piece) {
    const std::size_t to = std::min(size(), from + piece);
    verify_scanned(from, to - from);
    for (std::size_t at = from; at < to; at += CodeScan::kMostRows)
      CodeScan::scan_many(scans, at, std::min(CodeScan::kMostRows, to - at));
    file_->keep_to_budget();
  }
  for (CodeScan& scan : scans) scan.finish();
}

void Segment::offer_row(std::size_t row, std::span<const float> unit_query,
                        Collector& collector) const {
  const std::span<const float> vector = vector_at(row);
  collector.offer_accepted(similarity_of(unit_query, vector.data(), layout_->norms[row]),
                           layout_->ids[row]);
  collector.count_scored(1);
}

void Segment::collect_members(std::span<const VectorId> wanted,
                              std::span<const std::span<const float>> unit_queries,
                              std::span<Collector> collectors) const {
  file_->verify(layout_->norms);
  std::vector<std::size_t> rows;
  auto at = layout_->ids.begin();
  for (const VectorId id : wanted) {
    // Both lists ascend: look ahead in growing steps before searching between them.
    std::ptrdiff_t step = 1;
    while (step < layout_->ids.end() - at && at[step] < id) step *= 2;
    at = std::lower_bound(at, at + std::min(step + 1, layout_->ids.end() - at), id);
    if (at == layout_->ids.end()) break;
    if (*at != id || !collectors[0].accepts_member(id)) continue;
    const auto row = static_cast<std::size_t>(at - layout_->ids.begin());
    if (layout_->norms[row] != 0) rows.push_back(row);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i + kRowsAhead < rows.size()) prefetch_vector(rows[i + kRowsAhead]);
    for (std::size_t j = 0; j < collectors.size(); ++j)
      offer_row(rows[i], unit_queries[j], collectors[j]);
  }
}

void Segment::collect_found(std::span<const Neighbor> found, std::span<const float> unit_query,
                            Collector& collector) const {
  file_->check_unchanged();
  file_->verify(layout_->ids);
  file_->verify(layout_->norms);
  for (const Neighbor& neighbor : found) {
    const std::size_t row = find_ascending(layout_->ids, neighbor.id);
    if (row == size()) {
      throw CorruptData("index over " + file().string() + " returned id " +
                        std::to_string(static_cast<std::int64_t>(neighbor.id)) +
                        ", which is not in the segment");
    }
    const std::span<const float> vector = vector_at(row);
    collector.offer(similarity_of(unit_query, vector.data(), layout_->norms[row]), neighbor.id);
  }
  file_->check_unchanged();
}

void Segment::similarities(std::span<const float> unit_query, std::span<const VectorId> ids,
                           std::span<std::optional<float>> to) const {
  file_->check_unchanged();
  file_->verify(layout_->ids);
  file_->verify(layout_->norms);
  struct Wanted {
    std::size_t row;
    std::size_t at;
  };
  std::vector<Wanted> wanted;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::size_t row = find_ascending(layout_->ids, ids[i]);
    if (row < size() && layout_->norms[row] != 0) wanted.push_back({row, i});
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (i + kRowsAhead < wanted.size()) prefetch_vector(wanted[i + kRowsAhead].row);
    const std::size_t row = wanted[i].row;
    to[wanted[i].at] = similarity_of(unit_query, vector_at(row).data(), layout_->norms[row]);
  }
  file_->check_unchanged();
}

void Segment::prefetch_vector(std::size_t row) const noexcept {
  prefetch_row(layout_->values.data() + row * dim(), dim() * sizeof(float));
}

SearchResult Segment::search(std::span<const float> query, const SearchParams& params) const {
  const std::vector<float> unit = unit_query(query, dim(), params);
  Collector collector(params);
  collect(unit, collector);
  return collector.finish();
}

void Segment::save(const std::filesystem::path& file) const {
  verify();
  AtomicFile copy(file);
  copy.write(file_->bytes());
  file_->check_unchanged();
  copy.commit();
}

}  // namespace nearlite
