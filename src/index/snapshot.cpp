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
void collect_from_index(const SnapshotPart& part, const VectorIndex& index,
                        std::span<const float> query, std::span<const float> unit,
                        const SearchParams& params, Collector& collector, SearchResult& summary) {
  SearchParams inner = params;
  if (!collector.accepts_members())
    inner.filter = [&](VectorId id) { return collector.accepts_member(id); };
  const SearchResult found = index.search(query, inner);
  // Scored again from the segment, so that equal vectors compare equal whatever the index keeps.
  part.segment->collect_found(found.neighbors, unit, collector);
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
    const auto index = part.index ? part.index : part.lent_index.lock();
    if (!index) continue;
    check(index->dim(), "index");
    if (index->size() != part.segment->size()) {
      throw InvalidArgument("index has " + std::to_string(index->size()) +
                            " vectors, its segment has " + std::to_string(part.segment->size()));
    }
  }
  if (delta_.delta) check(delta_.delta->dim(), "delta");
}

SearchResult IndexSnapshot::search(std::span<const float> query, const SearchParams& params) const {
  if (query.size() != dim_) unit_query(query, dim_, params);  // says what is wrong
  return std::move(search_batch(query, params).front());
}

std::vector<SearchResult> IndexSnapshot::search_batch(std::span<const float> queries,
                                                      const SearchParams& params) const {
  if (queries.size() % dim_ != 0) {
    throw InvalidArgument(std::to_string(queries.size()) + " values are not whole queries of " +
                          std::to_string(dim_) + " dimensions");
  }
  std::vector<std::vector<float>> units;
  for (std::size_t at = 0; at < queries.size(); at += dim_)
    units.push_back(unit_query(queries.subspan(at, dim_), dim_, params));
  const std::vector<std::span<const float>> views(units.begin(), units.end());
  std::vector<Collector> collectors(units.size(), Collector(params, &dead_));
  std::vector<SearchResult> summaries(units.size());
  if (delta_.delta) {
    for (std::size_t i = 0; i < units.size(); ++i)
      delta_.delta->collect(units[i], delta_.num_rows, collectors[i]);
  }
  for (const SnapshotPart& part : parts_) {
    const auto index = part.index ? part.index : part.lent_index.lock();
    if (index && index_pays(*part.segment, *index, params, units.size())) {
      for (std::size_t i = 0; i < units.size(); ++i)
        collect_from_index(part, *index, views[i], views[i], params, collectors[i], summaries[i]);
    } else {
      part.segment->collect(views, collectors);
    }
  }
  std::vector<SearchResult> results;
  for (std::size_t i = 0; i < units.size(); ++i) {
    results.push_back(collectors[i].finish());
    results[i].path = summaries[i].path;
    results[i].recall = summaries[i].recall;
  }
  return results;
}

bool IndexSnapshot::is_scanned(const SearchParams& params) const {
  return std::ranges::none_of(parts_, [&](const SnapshotPart& part) {
    const auto index = part.index ? part.index : part.lent_index.lock();
    return index && index_pays(*part.segment, *index, params, 1);
  });
}

std::vector<std::optional<float>> IndexSnapshot::similarities(std::span<const float> query,
                                                              std::span<const VectorId> ids) const {
  std::vector<std::optional<float>> similarities(ids.size());
  if (std::ranges::all_of(query, [](float value) { return value == 0; })) return similarities;
  const std::vector<float> unit = unit_query(query, dim_, {});
  for (const SnapshotPart& part : parts_) part.segment->similarities(unit, ids, similarities);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (dead_.contains(ids[i])) {
      similarities[i].reset();
    } else if (similarities[i]) {
      continue;  // found in a segment: no id is in two parts
    } else if (const auto position = delta_.position_of(ids[i])) {
      const std::span<const float> vector = delta_.delta->vector_at(*position);
      const float norm = vector_norm(vector);
      if (norm > 0) similarities[i] = similarity_of(unit, vector.data(), norm);
    }
  }
  return similarities;
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
