// What every index keeps, whatever it is made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <thread>

#include "nearlite/base/error.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/id_set.h"
#include "nearlite/index/segment.h"
#include "nearlite/index/snapshot.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using test::ids_in;
using test::Rows;
using test::rows_of;
using testing::ElementsAre;

/// Makes an index of one kind over rows; files go into the folder.
struct Kind {
  const char* name;
  std::function<std::shared_ptr<const VectorIndex>(const Rows&, const test::TemporaryFolder&)> make;
};

std::shared_ptr<const VectorIndex> make_flat(const Rows& rows, const test::TemporaryFolder&) {
  return std::make_shared<FlatIndex>(rows.view());
}

std::shared_ptr<const VectorIndex> make_segment(const Rows& rows,
                                                const test::TemporaryFolder& folder) {
  write_segment(folder / "rows.vecs", rows.view(),
                {.store = "s", .generation = 1, .model_identity = "m", .dim = rows.dim});
  return Segment::open(folder / "rows.vecs");
}

/// The first half in a segment, the rest in a delta, and dead rows in both.
std::shared_ptr<const VectorIndex> make_snapshot(const Rows& rows,
                                                 const test::TemporaryFolder& folder) {
  Rows first = rows;
  first.ids.resize(rows.size() / 2);
  first.values.resize(first.ids.size() * rows.dim);
  std::vector<VectorId> dead;
  const std::vector<float> decoy(rows.dim, 1.0F);
  first.ids.insert(first.ids.begin(), VectorId{1});
  first.values.insert(first.values.begin(), decoy.begin(), decoy.end());
  dead.push_back(VectorId{1});
  SnapshotPart part{.segment = std::static_pointer_cast<const Segment>(make_segment(first, folder)),
                    .index = nullptr};
  auto delta = std::make_shared<DeltaIndex>(rows.dim);
  for (std::size_t i = rows.size() / 2; i < rows.size(); ++i) delta->add(rows.ids[i], rows.row(i));
  delta->add(VectorId{1'000'001}, decoy);
  dead.push_back(VectorId{1'000'001});
  return std::make_shared<IndexSnapshot>(rows.dim, std::vector{part}, DeltaView(delta),
                                         Tombstones(std::move(dead)));
}

template <Backend kBackend>
std::shared_ptr<const VectorIndex> make_backend(const Rows& rows,
                                                const test::TemporaryFolder& folder) {
  const auto file = folder / "rows.index";
  const BackendFile built = build_backend_file(kBackend, rows.view(), file);
  return open_backend_file(kBackend, file, rows.dim, rows.ids, built.calibration_json);
}

/// FAISS's own graph, whatever the number of rows.
std::shared_ptr<const VectorIndex> make_faiss_graph(const Rows& rows,
                                                    const test::TemporaryFolder& folder) {
  const auto file = folder / "rows.index";
  const BackendFile built =
      build_backend_file(Backend::kFaiss, rows.view(), file, {.faiss_hnsw_from = 0});
  return open_backend_file(Backend::kFaiss, file, rows.dim, rows.ids, built.calibration_json);
}

/// A segment with an index over it, and nothing else.
template <Backend kBackend>
std::shared_ptr<const VectorIndex> make_indexed_snapshot(const Rows& rows,
                                                         const test::TemporaryFolder& folder) {
  SnapshotPart part{.segment = std::static_pointer_cast<const Segment>(make_segment(rows, folder)),
                    .index = make_backend<kBackend>(rows, folder)};
  return std::make_shared<IndexSnapshot>(rows.dim, std::vector{part});
}

class EveryIndex : public testing::TestWithParam<Kind> {
 protected:
  std::shared_ptr<const VectorIndex> index_of(const Rows& rows) {
    return GetParam().make(rows, folder_);
  }
  test::TemporaryFolder folder_;
};

TEST_P(EveryIndex, ReturnsNeighborsNearestFirst) {
  const auto index = index_of(rows_of(2, {1, 0, 0, 1, 1, 1}));
  EXPECT_THAT(ids_in(index->search(std::array{1.0F, 0.5F}, {.k = 3})), ElementsAre(30, 10, 20));
  EXPECT_THAT(ids_in(index->search(std::array{1.0F, 0.1F}, {.k = 2})), ElementsAre(10, 30));
}

TEST_P(EveryIndex, ReportsCosineWhateverTheLengths) {
  const auto index = index_of(rows_of(2, {30, 40, 0, -0.001F}));
  const SearchResult result = index->search(std::array{0.0F, 7.0F}, {.k = 2});
  ASSERT_THAT(ids_in(result), ElementsAre(10, 20));
  EXPECT_FLOAT_EQ(result.neighbors[0].similarity, 0.8F);
  EXPECT_FLOAT_EQ(result.neighbors[1].similarity, -1.0F);
}

TEST_P(EveryIndex, BreaksTiesById) {
  const auto index = index_of(rows_of(2, {1, 1, 2, 2, 1, 1, 0, 1, 3, 3}));
  EXPECT_THAT(ids_in(index->search(std::array{1.0F, 1.0F}, {.k = 4})), ElementsAre(10, 20, 30, 50));
  EXPECT_THAT(ids_in(index->search(std::array{1.0F, 1.0F}, {.k = 2})), ElementsAre(10, 20));
}

TEST_P(EveryIndex, ReturnsAllWhenFewerThanK) {
  const auto index = index_of(rows_of(2, {1, 0, 0, 1, 1, 1}));
  EXPECT_EQ(index->search(std::array{1.0F, 0.5F}, {.k = 1000}).neighbors.size(), 3U);
  EXPECT_EQ(index->size(), 3U);
  EXPECT_EQ(index->dim(), 2U);
}

TEST_P(EveryIndex, ReturnsKThatPassTheFilter) {
  const Rows rows = test::clustered_rows(500, 24, 1);
  const auto index = index_of(rows);
  const auto every_tenth = [](VectorId id) { return static_cast<std::int64_t>(id) % 100 == 0; };
  const SearchResult result = index->search(rows.row(7), {.k = 20, .filter = every_tenth});
  EXPECT_EQ(result.neighbors.size(), 20U);
  for (const Neighbor& neighbor : result.neighbors) EXPECT_TRUE(every_tenth(neighbor.id));
  EXPECT_EQ(index->search(rows.row(7), {.k = 200, .filter = every_tenth}).neighbors.size(), 50U);
  EXPECT_TRUE(
      index->search(rows.row(7), {.filter = [](VectorId) { return false; }}).neighbors.empty());
}

TEST_P(EveryIndex, ReturnsKOfASetOfIds) {
  const Rows rows = test::clustered_rows(500, 24, 1);
  const auto index = index_of(rows);
  for (const std::size_t step : {2U, 10U, 100U}) {
    std::vector<VectorId> wanted;
    for (std::size_t i = 0; i < rows.size(); i += step) wanted.push_back(rows.ids[i]);
    const auto among = std::make_shared<const IdSet>(wanted);
    const SearchResult result = index->search(rows.row(7), {.k = 20, .among = among});
    EXPECT_EQ(result.neighbors.size(), std::min<std::size_t>(20, wanted.size()));
    for (const Neighbor& neighbor : result.neighbors) EXPECT_TRUE(among->contains(neighbor.id));
  }
}

TEST_P(EveryIndex, SaysHowManyVectorsItLookedAt) {
  const Rows rows = test::clustered_rows(500, 24, 1);
  const SearchResult result = index_of(rows)->search(rows.row(7), {.k = 20});
  EXPECT_GE(result.num_scored, result.neighbors.size());
}

TEST_P(EveryIndex, NeverReturnsZeroVectors) {
  const auto index = index_of(rows_of(3, {0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0}));
  EXPECT_EQ(index->size(), 4U);
  EXPECT_THAT(ids_in(index->search(std::array{1.0F, 0.0F, 0.0F}, {.k = 10})), ElementsAre(20, 40));
}

TEST_P(EveryIndex, RefusesQueriesThatCannotBe) {
  const auto index = index_of(rows_of(2, {1, 0, 0, 1, 1, 1}));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  EXPECT_THROW(index->search(std::array{1.0F}, {}), InvalidArgument);
  EXPECT_THROW(index->search(std::array{1.0F, 0.0F, 0.0F}, {}), InvalidArgument);
  EXPECT_THROW(index->search(std::array{nan, 1.0F}, {}), InvalidArgument);
  EXPECT_THROW(index->search(std::array{1.0F, infinite}, {}), InvalidArgument);
  EXPECT_THROW(index->search(std::array{0.0F, 0.0F}, {}), InvalidArgument);
  EXPECT_THROW(index->search(std::array{1.0F, 0.0F}, {.k = 0}), InvalidArgument);
  EXPECT_THROW(index->search(std::array{1.0F, 0.0F}, {.recall = 1.5}), InvalidArgument);
}

TEST_P(EveryIndex, AnswersWhenItIsEmpty) {
  const auto index = index_of(rows_of(4, {}));
  EXPECT_EQ(index->size(), 0U);
  EXPECT_TRUE(index->search(std::array{1.0F, 0.0F, 0.0F, 0.0F}, {}).neighbors.empty());
}

TEST_P(EveryIndex, HoldsASingleVector) {
  const auto index = index_of(rows_of(2, {3, 4}));
  EXPECT_THAT(ids_in(index->search(std::array{-1.0F, 0.0F}, {})), ElementsAre(10));
}

TEST_P(EveryIndex, IsExactWhenAskedForRecallOne) {
  const Rows rows = test::clustered_rows(2000, 48, 2);
  const auto index = index_of(rows);
  for (std::size_t i = 0; i < 20; ++i) {
    const SearchParams params{.k = 25, .recall = 1.0};
    const SearchResult truth = exact_search(rows.view(), rows.row(i * 91), params);
    const SearchResult found = index->search(rows.row(i * 91), params);
    EXPECT_EQ(ids_in(found), ids_in(truth));
    EXPECT_EQ(found.recall, 1.0);
  }
}

TEST_P(EveryIndex, ServesManyThreads) {
  const Rows rows = test::clustered_rows(1000, 32, 3);
  const auto index = index_of(rows);
  std::vector<std::vector<Neighbor>> alone;
  for (std::size_t i = 0; i < 50; ++i) alone.push_back(index->search(rows.row(i), {}).neighbors);
  std::vector<std::thread> threads;
  std::array<int, 4> wrong{};
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < 50; ++i)
        count += index->search(rows.row(i), {}).neighbors != alone[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

INSTANTIATE_TEST_SUITE_P(
    All, EveryIndex,
    testing::Values(Kind{"Flat", make_flat}, Kind{"Segment", make_segment},
                    Kind{"Snapshot", make_snapshot}, Kind{"FlatFile", make_backend<Backend::kFlat>},
                    Kind{"Annoy", make_backend<Backend::kAnnoy>},
                    Kind{"AnnoySnapshot", make_indexed_snapshot<Backend::kAnnoy>},
                    Kind{"Graph", make_backend<Backend::kGraph>},
                    Kind{"GraphSnapshot", make_indexed_snapshot<Backend::kGraph>}),
    [](const auto& test) { return std::string(test.param.name); });

#ifdef NEARLITE_TEST_FAISS
INSTANTIATE_TEST_SUITE_P(Plugin, EveryIndex,
                         testing::Values(Kind{"Faiss", make_backend<Backend::kFaiss>},
                                         Kind{"FaissGraph", make_faiss_graph},
                                         Kind{"FaissSnapshot",
                                              make_indexed_snapshot<Backend::kFaiss>}),
                         [](const auto& test) { return std::string(test.param.name); });
#endif

}  // namespace
}  // namespace nearlite
