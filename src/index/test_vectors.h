#pragma once

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite::test {

/// Vectors that own themselves. ids are 10, 20, 30, ...: never equal to positions, so that a mix-up
/// shows.
struct Rows {
  std::vector<VectorId> ids;
  std::vector<float> values;
  std::size_t dim = 0;

  VectorRows view() const { return {ids, values, dim}; }
  std::span<const float> row(std::size_t i) const {
    return std::span(values).subspan(i * dim, dim);
  }
  std::size_t size() const { return ids.size(); }
};

inline VectorId id_of_row(std::size_t row) {
  return VectorId{static_cast<std::int64_t>(row + 1) * 10};
}

inline Rows rows_of(std::size_t dim, std::vector<float> values) {
  Rows rows{.ids = {}, .values = std::move(values), .dim = dim};
  for (std::size_t i = 0; i < rows.values.size() / dim; ++i) rows.ids.push_back(id_of_row(i));
  return rows;
}

inline std::vector<std::int64_t> ids_in(const SearchResult& result) {
  std::vector<std::int64_t> ids;
  for (const Neighbor& neighbor : result.neighbors)
    ids.push_back(static_cast<std::int64_t>(neighbor.id));
  return ids;
}

inline Rows gaussian_rows(std::size_t count, std::size_t dim, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count * dim);
  for (float& value : values) value = normal(random);
  return rows_of(dim, std::move(values));
}

/// A shared mean, clusters of unequal size within clusters, a falling spectrum: like vectors of
/// texts.
inline Rows clustered_rows(std::size_t count, std::size_t dim, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> spectrum(dim);
  for (std::size_t j = 0; j < dim; ++j) spectrum[j] = 1.0F / std::sqrt(static_cast<float>(j + 1));
  const std::size_t num_centers =
      std::max<std::size_t>(1, static_cast<std::size_t>(std::sqrt(count)));
  std::vector<float> centers(num_centers * dim);
  for (std::size_t i = 0; i < centers.size(); ++i)
    centers[i] = spectrum[i % dim] * (normal(random) + 0.7F);
  std::vector<float> values(count * dim);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (std::size_t i = 0; i < count; ++i) {
    const float u = uniform(random);
    const auto center = std::min(num_centers - 1,
                                 static_cast<std::size_t>(u * u * static_cast<float>(num_centers)));
    for (std::size_t j = 0; j < dim; ++j) {
      values[i * dim + j] = centers[center * dim + j] + 0.5F * spectrum[j] * normal(random);
    }
  }
  return rows_of(dim, std::move(values));
}

/// A folder of this test, removed with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int counter = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("nearlite-index-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace nearlite::test
