#include "nearlite/index/flat_index.h"

#include <array>
#include <cmath>
#include <string>

#include "collector.h"
#include "dot.h"
#include "nearlite/base/error.h"
#include "nearlite/index/segment.h"

namespace nearlite {
namespace {

constexpr std::size_t kMaxDim = 65'536;

std::vector<float> norms_of(const VectorRows& rows) {
  std::vector<float> norms(rows.ids.size());
  for (std::size_t i = 0; i < norms.size(); ++i) norms[i] = vector_norm(rows.row(i));
  return norms;
}

void check_counts(const VectorRows& rows) {
  if (rows.dim == 0 || rows.dim > kMaxDim) {
    throw InvalidArgument("vectors have " + std::to_string(rows.dim) +
                          " dimensions, 1 to 65536 are possible");
  }
  if (rows.values.size() / rows.dim != rows.ids.size() || rows.values.size() % rows.dim != 0) {
    throw InvalidArgument(std::to_string(rows.values.size()) + " values are not " +
                          std::to_string(rows.ids.size()) + " rows of " + std::to_string(rows.dim));
  }
}

bool all_finite(std::span<const float> values) noexcept {
  for (const float value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

}  // namespace

float vector_norm(std::span<const float> vector) noexcept {
  // In double no float overflows or vanishes when squared. Four sums, so that additions need not
  // wait for each other.
  std::array<double, 4> sum{};
  for (std::size_t i = 0; i < vector.size(); ++i) {
    sum[i % 4] += static_cast<double>(vector[i]) * static_cast<double>(vector[i]);
  }
  return static_cast<float>(std::sqrt((sum[0] + sum[1]) + (sum[2] + sum[3])));
}

void check_rows(const VectorRows& rows) {
  check_counts(rows);
  for (std::size_t i = 0; i < rows.ids.size(); ++i) {
    const auto name = [&] { return std::to_string(static_cast<std::int64_t>(rows.ids[i])); };
    if (i > 0 && rows.ids[i] <= rows.ids[i - 1]) {
      throw InvalidArgument("id " + name() + " is not larger than the id before it");
    }
    if (!all_finite(rows.row(i))) {
      throw InvalidArgument("vector " + name() + " has a value that is not finite");
    }
    if (!std::isfinite(vector_norm(rows.row(i)))) {
      throw InvalidArgument("vector " + name() + " is too long for a 32-bit float");
    }
  }
}

std::vector<float> unit_query(std::span<const float> query, std::size_t dim,
                              const SearchParams& params) {
  if (params.k == 0) throw InvalidArgument("k is 0, at least 1 is wanted");
  if (!(params.recall > 0.0 && params.recall <= 1.0)) {
    throw InvalidArgument("recall is " + std::to_string(params.recall) +
                          ", more than 0 and at most 1 is wanted");
  }
  if (query.size() != dim) {
    throw InvalidArgument("query has " + std::to_string(query.size()) +
                          " dimensions, the index has " + std::to_string(dim));
  }
  if (!all_finite(query)) throw InvalidArgument("query has a value that is not finite");
  double sum = 0;
  for (const float value : query) sum += static_cast<double>(value) * static_cast<double>(value);
  if (sum == 0) throw InvalidArgument("query is all zeros: it has no direction");
  const double norm = std::sqrt(sum);
  std::vector<float> unit(query.size());
  for (std::size_t i = 0; i < unit.size(); ++i) {
    unit[i] = static_cast<float>(static_cast<double>(query[i]) / norm);
  }
  return unit;
}

void scan_rows(std::span<const float> unit_query, const float* rows, std::size_t stride,
               std::span<const float> norms, std::span<const VectorId> ids, Collector& collector) {
  constexpr std::size_t kBlock = 64;  // rows whose products are kept between the two loops
  std::array<float, kBlock> products;
  const DotRows dot = dot_rows();
  for (std::size_t at = 0; at < ids.size(); at += kBlock) {
    const std::size_t count = std::min(kBlock, ids.size() - at);
    dot(unit_query.data(), rows + at * stride, count, stride, unit_query.size(), products.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (norms[at + i] == 0) continue;  // a zero vector has no direction
      const float similarity = std::clamp(products[i] / norms[at + i], -1.0F, 1.0F);
      if (collector.wants(similarity)) collector.offer(similarity, ids[at + i]);
    }
  }
  collector.count_scored(ids.size());
}

float similarity_of(std::span<const float> unit_query, const float* row, float norm) noexcept {
  float product = 0;
  dot_rows()(unit_query.data(), row, 1, unit_query.size(), unit_query.size(), &product);
  return std::clamp(product / norm, -1.0F, 1.0F);
}

SearchResult exact_search(const VectorRows& rows, std::span<const float> query,
                          const SearchParams& params) {
  check_counts(rows);
  const std::vector<float> unit = unit_query(query, rows.dim, params);
  Collector collector(params);
  scan_rows(unit, rows.values.data(), rows.dim, norms_of(rows), rows.ids, collector);
  return collector.finish();
}

FlatIndex::FlatIndex(const VectorRows& rows) : dim_(rows.dim) {
  check_rows(rows);
  ids_.assign(rows.ids.begin(), rows.ids.end());
  values_.assign(rows.values.begin(), rows.values.end());
  norms_ = norms_of(rows);
}

SearchResult FlatIndex::search(std::span<const float> query, const SearchParams& params) const {
  const std::vector<float> unit = unit_query(query, dim_, params);
  Collector collector(params);
  scan_rows(unit, values_.data(), dim_, norms_, ids_, collector);
  return collector.finish();
}

void FlatIndex::save(const std::filesystem::path& file) const {
  write_segment(file, rows(),
                SegmentInfo{.store = {}, .generation = 0, .model_identity = {}, .dim = dim_});
}

}  // namespace nearlite
