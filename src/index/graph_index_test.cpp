#include "nearlite/index/graph_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "graph.h"
#include "nearlite/base/cpu.h"
#include "nearlite/base/error.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/snapshot.h"
#include "row_codes.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using test::ids_in;

class GraphFile : public testing::Test {
 protected:
  std::shared_ptr<const GraphIndex> graph_over(const test::Rows& rows,
                                               const GraphOptions& options = {}) {
    AtomicFile writing(file_);
    build_graph_file(writing, rows.view(),
                     {.store = "s", .generation = 4, .model_identity = "m", .dim = rows.dim},
                     options);
    writing.commit();
    return GraphIndex::open(file_, rows.ids);
  }

  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "a.graph";
};

/// Mean share of the true nearest.
double recall_over(const GraphIndex& graph, const test::Rows& rows, const test::Rows& queries,
                   const SearchParams& params) {
  double hits = 0;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const auto truth = exact_search(rows.view(), queries.row(i), params).neighbors;
    for (const Neighbor& found : graph.search(queries.row(i), params).neighbors)
      hits += std::find(truth.begin(), truth.end(), found) != truth.end() ? 1 : 0;
  }
  return hits / static_cast<double>(queries.size() * params.k);
}

TEST_F(GraphFile, FindsNearlyAllNeighborsAtTheAskedRecall) {
  test::Rows rows = test::clustered_rows(9100, 24, 1);  // enough for a sample above
  const test::Rows queries =
      test::rows_of(24, {rows.values.end() - std::ptrdiff_t{100} * 24, rows.values.end()});
  rows.ids.resize(9000);
  rows.values.resize(std::size_t{9000} * 24);
  const auto graph = graph_over(rows);
  EXPECT_FALSE(graph->calibration().empty());
  EXPECT_GT(recall_over(*graph, rows, queries, {.k = 10, .recall = 0.99, .index_only = true}),
            0.98);
  const auto found = graph->search(rows.row(4), {.k = 10, .recall = 0.9, .index_only = true});
  EXPECT_EQ(found.path, "graph");
  EXPECT_GE(found.recall, 0.9);
  EXPECT_LT(found.num_scored, rows.size() / 4);
}

TEST_F(GraphFile, IsExactWhenAskedTo) {
  const test::Rows rows = test::clustered_rows(3000, 16, 2);
  const auto graph = graph_over(rows);
  const SearchResult found = graph->search(rows.row(7), {.k = 50, .recall = 1.0});
  EXPECT_EQ(found.path, "exact");
  EXPECT_EQ(found.neighbors,
            exact_search(rows.view(), rows.row(7), {.k = 50, .recall = 1.0}).neighbors);
}

TEST_F(GraphFile, IsTheSameForAnyNumberOfThreads) {
  const test::Rows rows = test::clustered_rows(3000, 12, 3);
  std::vector<float> norms;
  for (std::size_t i = 0; i < rows.size(); ++i) norms.push_back(vector_norm(rows.row(i)));
  const RowCodes codes({rows.values.data(), rows.dim, rows.dim}, norms);
  const Graph one = build_graph(codes, norms, {.threads = 1});
  const Graph four = build_graph(codes, norms, {.threads = 4});
  ASSERT_EQ(one.levels.size(), four.levels.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto a = one.levels[0].links_of(row);
    const auto b = four.levels[0].links_of(row);
    ASSERT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << row;
  }
  EXPECT_EQ(one.levels[0].entries, four.levels[0].entries);
  EXPECT_EQ(one.next_same, four.next_same);
}

TEST_F(GraphFile, FindsEveryRowByItself) {
  const test::Rows rows = test::clustered_rows(4000, 16, 5);
  const auto graph = graph_over(rows);
  std::size_t missed = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto found = graph->search(rows.row(i), {.k = 1, .recall = 0.99, .index_only = true});
    missed += found.neighbors[0].similarity < 0.99999F ? 1 : 0;
  }
  EXPECT_LE(missed, rows.size() / 500);
}

TEST_F(GraphFile, ManyEqualVectorsAreAllFoundSmallestIdsFirst) {
  test::Rows rows = test::clustered_rows(2000, 8, 6);
  for (std::size_t i = 500; i < 1500; ++i)
    std::copy_n(rows.values.begin(), 8, rows.values.begin() + static_cast<std::ptrdiff_t>(i * 8));
  const auto graph = graph_over(rows);
  const SearchParams params{.k = 40, .recall = 0.9, .index_only = true};
  EXPECT_EQ(ids_in(graph->search(rows.row(0), params)),
            ids_in(exact_search(rows.view(), rows.row(0), params)));
}

TEST_F(GraphFile, RowsThatAreAllEqualAreOneRow) {
  test::Rows rows = test::gaussian_rows(300, 6, 6);
  for (std::size_t i = 1; i < rows.size(); ++i)
    std::copy_n(rows.values.begin(), 6, rows.values.begin() + static_cast<std::ptrdiff_t>(i * 6));
  const auto graph = graph_over(rows);
  EXPECT_THAT(ids_in(graph->search(rows.row(5), {.k = 3, .recall = 0.9, .index_only = true})),
              testing::ElementsAre(10, 20, 30));
}

TEST_F(GraphFile, AFilterIsAnsweredInFullHoweverFewPass) {
  const test::Rows rows = test::clustered_rows(4000, 16, 7);
  const auto graph = graph_over(rows);
  for (const int keep : {2, 20, 400, 4000}) {
    SearchParams params{.k = 10, .recall = 0.95, .index_only = true};
    params.filter = [&](VectorId id) { return static_cast<std::int64_t>(id) / 10 % keep == 0; };
    const auto truth = exact_search(rows.view(), rows.row(3), params);
    const auto found = graph->search(rows.row(3), params);
    EXPECT_EQ(found.neighbors.size(), truth.neighbors.size()) << keep;
    for (const Neighbor& neighbor : found.neighbors) EXPECT_TRUE(params.filter(neighbor.id));
    EXPECT_EQ(found.neighbors.front(), truth.neighbors.front()) << keep;
  }
}

TEST_F(GraphFile, DeadRowsAreNeverReturned) {
  const test::Rows rows = test::clustered_rows(3000, 16, 8);
  write_segment(folder_ / "a.vecs", rows.view(), {.dim = 16});
  std::vector<VectorId> dead;
  for (std::size_t i = 0; i < rows.size(); i += 3) dead.push_back(rows.ids[i]);
  const Tombstones tombstones(dead);
  const IndexSnapshot snapshot(16, {{Segment::open(folder_ / "a.vecs"), graph_over(rows)}}, {},
                               tombstones);
  for (std::size_t i = 0; i < 60; ++i) {
    const auto found = snapshot.search(rows.row(i), {.k = 10, .recall = 0.99, .index_only = true});
    EXPECT_EQ(found.neighbors.size(), 10U);
    for (const Neighbor& neighbor : found.neighbors) EXPECT_FALSE(tombstones.contains(neighbor.id));
  }
}

// Where it is cheaper than a scan depends on the machine; FakeIndex tests what follows from that.
TEST_F(GraphFile, TheSnapshotTakesItWhereItCanKeepThePromise) {
  const test::Rows rows = test::clustered_rows(20'000, 64, 9);
  write_segment(folder_ / "a.vecs", rows.view(), {.dim = 64});
  const auto graph = graph_over(rows);
  const IndexSnapshot snapshot(64, {{Segment::open(folder_ / "a.vecs"), graph}});
  const SearchParams few{.k = 10, .recall = 0.5, .index_only = true};
  const SearchParams all{.k = 10, .recall = 1.0, .index_only = true};
  EXPECT_EQ(snapshot.search(rows.row(1), few).path, "graph");
  EXPECT_EQ(snapshot.search(rows.row(1), all).path, "exact");
  EXPECT_LE(graph->estimated_us(few).value(),
            graph->estimated_us({.k = 10, .recall = 0.9}).value());
  EXPECT_EQ(snapshot.search(rows.row(1), {.k = 10'000, .recall = 0.9}).path, "exact");
}

TEST_F(GraphFile, OfNothingOrOfZerosIsSearchedAsWell) {
  EXPECT_TRUE(graph_over({.ids = {}, .values = {}, .dim = 3})
                  ->search(std::array{1.0F, 0.0F, 0.0F}, {.index_only = true})
                  .neighbors.empty());
  const test::Rows zeros = test::rows_of(2, {0, 0, 0, 0, 1, 1});
  EXPECT_THAT(ids_in(graph_over(zeros)->search(std::array{1.0F, 0.0F}, {.index_only = true})),
              testing::ElementsAre(30));
}

TEST_F(GraphFile, OptionsThatCannotBeAreRefused) {
  const test::Rows rows = test::gaussian_rows(10, 4, 1);
  EXPECT_THROW(graph_over(rows, {.degree = 3}), InvalidArgument);
  EXPECT_THROW(graph_over(rows, {.degree = 300, .effort = 300}), InvalidArgument);
  EXPECT_THROW(graph_over(rows, {.effort = 10}), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST(RowProducts, AreTheSameForAllProcessors) {
  for (const std::size_t dim : {1UL, 63UL, 64UL, 65UL, 384UL, 1000UL}) {
    test::Rows rows = test::gaussian_rows(40, dim, 3);
    rows.values[0] = 100;  // one code of 127, the others of 0
    std::vector<float> norms;
    for (std::size_t i = 0; i < rows.size(); ++i) norms.push_back(vector_norm(rows.row(i)));
    const RowCodes codes({rows.values.data(), rows.dim, rows.dim}, norms);
    const CodedRowQuery query(rows.row(1));
    std::vector<std::uint32_t> which(rows.size());
    std::iota(which.rbegin(), which.rend(), 0);
    std::vector<std::int32_t> expected(rows.size());
    std::vector<std::int32_t> products(rows.size());
    row_products_scalar(query.plane.data(), codes.row(0), codes.stride(), which.data(),
                        which.size(), expected.data());
    row_products()(query.plane.data(), codes.row(0), codes.stride(), which.data(), which.size(),
                   products.data());
    EXPECT_EQ(products, expected) << dim;
    if (cpu_features().avx2) {
      row_products_avx2(query.plane.data(), codes.row(0), codes.stride(), which.data(),
                        which.size(), products.data());
      EXPECT_EQ(products, expected) << dim;
    }
  }
}

}  // namespace
}  // namespace nearlite
