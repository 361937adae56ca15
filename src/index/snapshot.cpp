#include "nearlite/index/snapshot.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "collector.h"
#include "nearlite/base/error.h"
#include "nearlite/index/flat_index.h"
#include "planner.h"

namespace nearlite {
namespace {

/// Asks the index of a part, which fills k by itself as long as accepted rows remain.
void collect_from_index(const SnapshotPart& part, std::span<const float> query,
                        std::span<const float> unit, const SearchParams& params,
                        Collector& collector, SearchResult& summary) {
  SearchParams inner = params;
  if (!collector.accepts_all()) inner.filter = [&](VectorId id) { return collector.accepts(id); };
  const SearchResult found = part.index->search(query, inner);
  // Scored again from the segment, so that equal vectors compare equal whatever the index keeps.
  for (const Neighbor& neighbor : found.neighbors) {
    const auto position = part.segment->position_of(neighbor.id);
    if (!position) {
      throw CorruptData("index over " + part.segment->file().string() + " returned id " +
                        std::to_string(static_cast<std::int64_t>(neighbor.id)) +
                        ", which is not in the segment");
    }
    const std::span<const float> row = part.segment->vector_at(*position);
    collector.offer(similarity_of(unit, row.data(), vector_norm(row)), neighbor.id);
  }
  collector.count_scored(found.num_scored);
  if (found.path != "exact") summary.path = found.path;
  summary.recall = std::min(summary.recall, found.recall);
}

}  // namespace

IndexSnapshot::IndexSnapshot(std::size_t dim, std::vector<SnapshotPart> parts, DeltaView delta,
                             Tombstones dead)
    : dim_(dim), parts_(std::move(parts)), delta_(std::move(delta)), dead_(std::move(dead)) {
  const auto check = [&](std::size_t found, const char* what) {
    if (found != dim_) {
      throw InvalidArgument(std::string(what) + " has " + std::to_string(found) +
                            " dimensions, the snapshot has " + std::to_string(dim_));
    }
  };
  for (const SnapshotPart& part : parts_) {
    if (!part.segment) throw InvalidArgument("a part of the snapshot has no segment");
    check(part.segment->dim(), "segment");
    if (!part.index) continue;
    check(part.index->dim(), "index");
    if (part.index->size() != part.segment->size()) {
      throw InvalidArgument("index has " + std::to_string(part.index->size()) +
                            " vectors, its segment has " + std::to_string(part.segment->size()));
    }
  }
  if (delta_.delta) check(delta_.delta->dim(), "delta");
}

SearchResult IndexSnapshot::search(std::span<const float> query, const SearchParams& params) const {
  const std::vector<float> unit = unit_query(query, dim_, params);
  Collector collector(params, &dead_);
  SearchResult summary;
  if (delta_.delta) delta_.delta->collect(unit, delta_.num_rows, collector);
  for (const SnapshotPart& part : parts_) {
    if (part.index && index_pays(*part.segment, *part.index, params)) {
      collect_from_index(part, query, unit, params, collector, summary);
    } else {
      part.segment->collect(unit, collector);
    }
  }
  SearchResult result = collector.finish();
  result.path = summary.path;
  result.recall = summary.recall;
  return result;
}

std::size_t IndexSnapshot::size() const noexcept {
  std::size_t rows = delta_.num_rows;
  for (const SnapshotPart& part : parts_) rows += part.segment->size();
  return rows - std::min(rows, dead_.size());
}

IndexSnapshot::Rows IndexSnapshot::live_rows() const {
  struct Source {
    VectorId id;
    const float* values;
  };
  std::vector<Source> live;
  for (const SnapshotPart& part : parts_) {
    const VectorRows rows = part.segment->rows();
    for (std::size_t i = 0; i < rows.ids.size(); ++i) {
      if (!dead_.contains(rows.ids[i])) live.push_back({rows.ids[i], rows.row(i).data()});
    }
  }
  for (std::size_t i = 0; i < delta_.num_rows; ++i) {
    const VectorId id = delta_.delta->id_at(i);
    if (!dead_.contains(id)) live.push_back({id, delta_.delta->vector_at(i).data()});
  }
  std::sort(live.begin(), live.end(), [](const Source& a, const Source& b) { return a.id < b.id; });
  Rows rows{.ids = {}, .values = {}, .dim = dim_};
  rows.ids.reserve(live.size());
  rows.values.reserve(live.size() * dim_);
  for (const Source& source : live) {
    rows.ids.push_back(source.id);
    rows.values.insert(rows.values.end(), source.values, source.values + dim_);
  }
  return rows;
}

void IndexSnapshot::save(const std::filesystem::path& file) const {
  const Rows rows = live_rows();
  write_segment(file, rows.view(),
                {.store = {}, .generation = 0, .model_identity = {}, .dim = dim_});
}

}  // namespace nearlite
