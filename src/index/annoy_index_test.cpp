#include "nearlite/index/annoy_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "annoy_format.h"
#include "nearlite/base/error.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

class Annoy : public testing::Test {
 protected:
  std::shared_ptr<const AnnoyIndex> index_of(const test::Rows& rows, const AnnoyParams& params = {},
                                             Calibration calibration = {}) {
    write(rows, params);
    return AnnoyIndex::open(file_, rows.dim, rows.ids, std::move(calibration));
  }
  void write(const test::Rows& rows, const AnnoyParams& params = {}) {
    AtomicFile writing(file_);
    build_annoy(writing, rows.view(), params);
    writing.commit();
  }
  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "a.ann";
};

/// Mean share of the true k nearest that were found.
double recall_at(std::size_t k, const VectorIndex& index, const test::Rows& rows,
                 const SearchParams& params) {
  double sum = 0;
  std::size_t count = 0;
  const test::Rows noise = test::gaussian_rows(60, rows.dim, 99);
  for (std::size_t i = 0; i < 60; ++i, ++count) {
    std::vector<float> query(rows.row(i * rows.size() / 60).begin(),
                             rows.row(i * rows.size() / 60).end());
    const float norm = vector_norm(query);
    for (std::size_t j = 0; j < rows.dim; ++j) {
      query[j] += 0.25F * norm / std::sqrt(static_cast<float>(rows.dim)) * noise.row(i)[j];
    }
    SearchParams asked = params;
    asked.k = k;
    const auto truth = exact_search(rows.view(), query, {.k = k}).neighbors;
    const auto found = index.search(query, asked).neighbors;
    EXPECT_EQ(found.size(), truth.size());
    std::size_t hits = 0;
    for (const Neighbor& neighbor : found)
      hits += std::ranges::find(truth, neighbor) != truth.end() ? 1 : 0;
    sum += static_cast<double>(hits) / static_cast<double>(truth.size());
  }
  return sum / static_cast<double>(count);
}

TEST_F(Annoy, FindsTheAskedShareOfTheNeighbors) {
  const test::Rows rows = test::clustered_rows(8000, 96, 5);
  const auto index = index_of(rows, {.num_trees = 10});
  const double low = recall_at(10, *index, rows, {.recall = 0.8, .index_only = true});
  const double high = recall_at(10, *index, rows, {.recall = 0.99, .index_only = true});
  EXPECT_GE(low, 0.78);
  EXPECT_GE(high, 0.98);
  EXPECT_GE(recall_at(50, *index, rows, {.recall = 0.95, .index_only = true}), 0.94);
}

TEST_F(Annoy, ReportsThePathAndRecallOfItsAnswer) {
  const test::Rows rows = test::clustered_rows(8000, 96, 5);
  const auto index = index_of(rows);
  const SearchResult found = index->search(rows.row(1), {.recall = 0.9, .index_only = true});
  EXPECT_EQ(found.path, "annoy");
  EXPECT_GE(found.recall, 0.9);
  EXPECT_LT(found.num_scored, 8000U);
  const SearchResult exact = index->search(rows.row(1), {.recall = 1.0, .index_only = true});
  EXPECT_EQ(exact.path, "exact");
  EXPECT_EQ(exact.recall, 1.0);
}

TEST_F(Annoy, IsTheSameFileForAnyNumberOfThreads) {
  const test::Rows rows = test::clustered_rows(3000, 24, 5);
  write(rows, {.num_trees = 7, .threads = 1});
  const std::string one = read_file(file_);
  write(rows, {.num_trees = 7, .threads = 4});
  EXPECT_EQ(read_file(file_), one);
  write(rows, {.num_trees = 7, .seed = 2});
  EXPECT_NE(read_file(file_), one);
}

TEST_F(Annoy, EndsForEqualVectors) {
  std::vector<float> values;
  for (int i = 0; i < 10'000; ++i) values.insert(values.end(), {1.0F, 2.0F, 3.0F});
  const test::Rows rows = test::rows_of(3, std::move(values));
  const auto index = index_of(rows, {.num_trees = 2});
  const SearchResult result = index->search(rows.row(0), {.k = 3, .recall = 0.5});
  EXPECT_EQ(result.neighbors.size(), 3U);
  EXPECT_EQ(test::ids_in(index->search(rows.row(0), {.k = 3, .recall = 1.0})),
            (std::vector<std::int64_t>{10, 20, 30}));
}

TEST_F(Annoy, EndsForVectorsOfZeros) {
  const test::Rows rows = test::rows_of(2, std::vector<float>(2000, 0.0F));
  EXPECT_TRUE(index_of(rows)->search(std::array{1.0F, 0.0F}, {}).neighbors.empty());
}

TEST_F(Annoy, LaysOutItemsAndRootsAsTheLibraryExpects) {
  const test::Rows rows = test::clustered_rows(300, 8, 5);
  write(rows, {.num_trees = 3});
  const std::string bytes = read_file(file_);
  const AnnoyLayout layout(8);
  ASSERT_EQ(layout.node_bytes, 44U);
  const auto node = [&](std::size_t i) {
    return reinterpret_cast<const std::byte*>(bytes.data()) + i * layout.node_bytes;
  };
  const std::size_t count = bytes.size() / layout.node_bytes;
  EXPECT_EQ(annoy_descendants(node(7)), 1);
  EXPECT_EQ(std::memcmp(annoy_vector(node(7)), rows.row(7).data(), 32), 0);
  for (std::size_t i = count - 3; i < count; ++i) EXPECT_EQ(annoy_descendants(node(i)), 300);
  // The last tree's root stands right before the copies; readers know it by its child.
  EXPECT_EQ(std::memcmp(node(count - 4), node(count - 1), layout.node_bytes), 0);
}

TEST_F(Annoy, MeasuresItselfOnlyWhenNothingIsRemembered) {
  const test::Rows rows = test::clustered_rows(2000, 32, 5);
  const Calibration remembered{
      {{.search_k = 777, .recall = 0.9, .recall_low = 0.88, .microseconds = 5}}};
  EXPECT_EQ(index_of(rows, {}, remembered)->calibration(), remembered);
  EXPECT_EQ(index_of(rows, {}, remembered)->estimated_us(0.85), 5.0);
  const Calibration measured = index_of(rows)->calibration();
  ASSERT_FALSE(measured.empty());
  for (const Effort& effort : measured.efforts) {
    EXPECT_LE(effort.recall_low, effort.recall);
    EXPECT_GT(effort.microseconds, 0);
  }
  EXPECT_GE(measured.efforts.back().recall, 0.99);
}

TEST_F(Annoy, IsBuiltWithItsCalibration) {
  const test::Rows rows = test::clustered_rows(1000, 16, 5);
  const BackendFile built = build_backend_file(Backend::kAnnoy, rows.view(), file_);
  EXPECT_EQ(built.rows, 1000U);
  EXPECT_EQ(built.file_bytes, std::filesystem::file_size(file_));
  EXPECT_EQ(built.sha256.size(), 64U);
  EXPECT_FALSE(Calibration::from_json(built.calibration_json).empty());
}

TEST_F(Annoy, RefusesImpossibleSettings) {
  const test::Rows rows = test::clustered_rows(10, 4, 5);
  EXPECT_THROW(write(rows, {.num_trees = 0}), InvalidArgument);
  EXPECT_THROW(build_backend_file(Backend::kAuto, rows.view(), file_), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

}  // namespace
}  // namespace nearlite
