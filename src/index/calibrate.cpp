#include "calibrate.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "collector.h"
#include "thread_clock.h"

namespace nearlite {
namespace {

/// Questions of one kind.
using Group = std::vector<std::vector<float>>;

/// Stored vectors that are moved: like questions near what is stored, but not the stored ones
/// themselves. `first`, `step`: which of 256 spread over all rows.
Group moved_vectors(const StridedRows& rows, float distance, std::size_t first, std::size_t step) {
  constexpr std::size_t kQueries = 256;
  std::mt19937 random(12345 + static_cast<unsigned>(first));
  std::normal_distribution<float> normal;
  Group queries;
  const std::size_t count = std::min(kQueries, rows.norms.size());
  for (std::size_t i = first; i < count; i += step) {
    const std::size_t row = i * rows.norms.size() / count;
    if (rows.norms[row] == 0) continue;
    const float* vector = rows.values + row * rows.stride;
    const float noise = distance / std::sqrt(static_cast<float>(rows.dim));
    std::vector<float> query(rows.dim);
    for (std::size_t j = 0; j < rows.dim; ++j)
      query[j] = vector[j] / rows.norms[row] + noise * normal(random);
    queries.push_back(std::move(query));
  }
  return queries;
}

std::vector<Group> calibration_queries(const StridedRows& rows, const AskedQuestions& asked) {
  // Of the length of the vector. Questions are about as far from what is stored as stored texts are
  // from each other, and some farther: a small step would find its way back to the stored one too
  // easily.
  constexpr float kNear = 1.0F;
  constexpr float kFar = 1.4F;
  constexpr std::size_t kEnough = 16;  // of a group, for a mean of its own
  std::vector<Group> groups{moved_vectors(rows, kNear, 0, 2), moved_vectors(rows, kFar, 1, 2)};
  if (groups[1].size() < kEnough) {
    groups[0].insert(groups[0].end(), groups[1].begin(), groups[1].end());
    groups.pop_back();
  }
  if (asked.dim != rows.dim) return groups;
  Group people;
  for (std::size_t at = 0; at + rows.dim <= asked.values.size(); at += rows.dim) {
    const auto query = asked.values.subspan(at, rows.dim);
    people.emplace_back(query.begin(), query.end());
  }
  if (people.size() >= kEnough) groups.push_back(std::move(people));
  return groups;
}

std::vector<SearchResult> true_neighbors(const StridedRows& rows,
                                         const std::vector<std::vector<float>>& queries,
                                         const SearchParams& params) {
  constexpr std::size_t kBlock =
      64;  // rows: they stay in a near cache while every query looks at them
  std::vector<std::vector<float>> units;
  units.reserve(queries.size());
  std::vector<Collector> collectors(queries.size(), Collector(params));
  for (const auto& query : queries) units.push_back(unit_query(query, rows.dim, params));
  for (std::size_t at = 0; at < rows.ids.size(); at += kBlock) {
    const std::size_t count = std::min(kBlock, rows.ids.size() - at);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      scan_rows(units[i], rows.values + at * rows.stride, rows.stride,
                rows.norms.subspan(at, count), rows.ids.subspan(at, count), collectors[i]);
    }
  }
  std::vector<SearchResult> results;
  results.reserve(queries.size());
  for (Collector& collector : collectors) results.push_back(collector.finish());
  return results;
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

Effort summarize(std::size_t effort, std::span<const double> recalls, double elapsed_us) {
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
  return {.search_k = effort,
          .recall = mean,
          .recall_low = std::max(0.0, mean - margin),
          .microseconds = elapsed_us / count};
}

/// Share of ids that pass: of the set counted, of the filter from a spread sample.
double pass_rate(std::span<const VectorId> ids, const SearchParams& params) {
  constexpr std::size_t kSample = 256;
  if (ids.empty()) return 1.0;
  double members = 1.0;
  if (params.among) {
    members = static_cast<double>(params.among->between(ids.front(), ids.back()).size()) /
              static_cast<double>(ids.size());
  }
  if (!params.filter) return std::min(1.0, members);
  const std::size_t count = std::min(kSample, ids.size());
  std::size_t passed = 0;
  for (std::size_t i = 0; i < count; ++i)
    passed += params.filter(ids[i * ids.size() / count]) ? 1 : 0;
  return std::min(1.0, members) * static_cast<double>(passed) / static_cast<double>(count);
}

}  // namespace

Calibration measure_calibration(
    const StridedRows& rows, std::span<const std::size_t> efforts,
    const std::function<SearchResult(std::span<const float>, const SearchParams&, std::size_t)>&
        search,
    const AskedQuestions& asked) {
  const std::vector<Group> groups = calibration_queries(rows, asked);
  if (groups[0].empty()) return {};
  const SearchParams params{.k = kCalibrationK};
  std::vector<std::vector<SearchResult>> truth;
  for (const Group& group : groups) truth.push_back(true_neighbors(rows, group, params));
  const ThreadStopwatch scan;
  Collector one(params);
  scan_rows(unit_query(groups[0][0], rows.dim, params), rows.values, rows.stride, rows.norms,
            rows.ids, one);
  const double scan_us = scan.elapsed_us();

  Calibration calibration;
  search(groups[0][0], params, efforts.front());  // warms
  for (const std::size_t effort : efforts) {
    Effort worst;
    for (std::size_t group = 0; group < groups.size(); ++group) {
      std::vector<double> recalls;
      double elapsed_us = 0;
      for (std::size_t i = 0; i < groups[group].size(); ++i) {
        const ThreadStopwatch watch;
        const SearchResult found = search(groups[group][i], params, effort);
        elapsed_us += watch.elapsed_us();
        recalls.push_back(recall_of(found, truth[group][i]));
      }
      const Effort measured = summarize(effort, recalls, elapsed_us);
      const double slowest = std::max(worst.microseconds, measured.microseconds);
      if (group == 0 || measured.recall_low < worst.recall_low) worst = measured;
      worst.microseconds = slowest;
    }
    calibration.efforts.push_back(worst);
    if (worst.recall >= 0.9995 || (worst.recall_low >= 0.99 && worst.microseconds > scan_us)) break;
  }
  return calibration;
}

std::optional<Effort> effort_for(const Calibration& calibration, const SearchParams& params,
                                 std::span<const VectorId> ids, double most) {
  if (params.recall >= 1.0 || ids.empty()) return std::nullopt;
  std::optional<Effort> effort = calibration.cheapest_for(params.recall);
  if (!effort && params.index_only && !calibration.empty()) effort = calibration.efforts.back();
  if (!effort) return std::nullopt;
  const double reach = static_cast<double>(std::min(params.k, ids.size())) /
                       std::max(pass_rate(ids, params), 1e-9) / static_cast<double>(kCalibrationK);
  const double wanted = static_cast<double>(effort->search_k) * std::max(1.0, reach);
  if (wanted >= most && !params.index_only) return std::nullopt;
  effort->microseconds *= std::max(1.0, reach);
  effort->search_k = static_cast<std::size_t>(std::min(wanted, most));
  return effort;
}

}  // namespace nearlite
