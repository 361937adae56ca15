#include "nearlite/index/id_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <random>

#include "nearlite/base/error.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/snapshot.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using test::Rows;
using testing::ElementsAre;
using testing::ElementsAreArray;

std::vector<VectorId> ids_of(const std::vector<std::int64_t>& numbers) {
  std::vector<VectorId> ids;
  for (const std::int64_t number : numbers) ids.push_back(VectorId{number});
  return ids;
}

TEST(IdSet, HoldsEachIdOnceWhateverTheOrder) {
  const IdSet set(ids_of({30, 10, 30, 20}));
  EXPECT_THAT(set.ids(), ElementsAre(VectorId{10}, VectorId{20}, VectorId{30}));
  for (const std::int64_t id : {9, 11, 31, -10}) EXPECT_FALSE(set.contains(VectorId{id})) << id;
  EXPECT_TRUE(set.contains(VectorId{20}));
  EXPECT_FALSE(IdSet({}).contains(VectorId{0}));
}

TEST(IdSet, TakesIdsThatAreFarApart) {
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const IdSet set(ids_of({kMost, -1, kLeast, 7}));
  for (const std::int64_t id : {kLeast, std::int64_t{-1}, std::int64_t{7}, kMost})
    EXPECT_TRUE(set.contains(VectorId{id})) << id;
  EXPECT_FALSE(set.contains(VectorId{8}));
  EXPECT_THAT(set.between(VectorId{-1}, VectorId{100}), ElementsAre(VectorId{-1}, VectorId{7}));
  EXPECT_TRUE(set.between(VectorId{8}, VectorId{9}).empty());
}

/// A segment with dead rows and a delta, with and without an index.
class Filtered : public testing::TestWithParam<Backend> {
 protected:
  Filtered() {
    rows_ = test::clustered_rows(2400, 32, 3);
    Rows old = rows_;
    old.ids.resize(2200);
    old.values.resize(old.ids.size() * 32);
    write_segment(folder_ / "a.vecs", old.view(), {.dim = 32});
    SnapshotPart part{Segment::open(folder_ / "a.vecs")};
    if (GetParam() != Backend::kFlat) {
      const auto built = build_backend_file(GetParam(), old.view(), folder_ / "index");
      part.index =
          open_backend_file(GetParam(), folder_ / "index", 32, old.ids, built.calibration_json);
    }
    auto delta = std::make_shared<DeltaIndex>(32);
    for (std::size_t i = 2200; i < rows_.size(); ++i) delta->add(rows_.ids[i], rows_.row(i));
    std::vector<VectorId> dead;
    for (std::size_t i = 0; i < rows_.size(); i += 7) dead.push_back(rows_.ids[i]);
    dead_ = Tombstones(dead);
    snapshot_ = std::make_unique<IndexSnapshot>(32, std::vector<SnapshotPart>{part},
                                                DeltaView(std::move(delta)), dead_);
  }

  /// The plain answer.
  std::vector<Neighbor> truth(std::span<const float> query, SearchParams params) const {
    const auto among = std::exchange(params.among, nullptr);
    params.filter = [&, among](VectorId id) {
      return !dead_.contains(id) && (!among || among->contains(id));
    };
    return exact_search(rows_.view(), query, params).neighbors;
  }

  test::TemporaryFolder folder_;
  Rows rows_;
  Tombstones dead_;
  std::unique_ptr<IndexSnapshot> snapshot_;
};

TEST_P(Filtered, IsExactAtAnySelectivity) {
  std::mt19937 random(4);
  for (const double share : {0.0, 0.0005, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0}) {
    std::vector<VectorId> passing;
    for (const VectorId id : rows_.ids) {
      if (std::uniform_real_distribution<>()(random) < share) passing.push_back(id);
    }
    for (const std::size_t k : {std::size_t{1}, std::size_t{10}, std::size_t{300}}) {
      SearchParams params{.k = k, .recall = 1.0};
      params.among = std::make_shared<IdSet>(passing);
      for (std::size_t i = 1; i < 5; ++i) {
        const auto found = snapshot_->search(rows_.row(i * 400), params);
        EXPECT_THAT(found.neighbors, ElementsAreArray(truth(rows_.row(i * 400), params)))
            << share << ", k " << k;
      }
    }
  }
}

TEST_P(Filtered, ReturnsKRowsOrSaysWhyNot) {
  std::vector<VectorId> passing;
  for (std::size_t i = 1; i < rows_.size(); i += 150) passing.push_back(rows_.ids[i]);
  SearchParams params{.k = 5};
  params.among = std::make_shared<IdSet>(passing);
  auto found = snapshot_->search(rows_.row(9), params);
  EXPECT_EQ(found.neighbors.size(), 5U);
  EXPECT_EQ(found.shortfall, Shortfall::kNone);
  params.k = 100;
  found = snapshot_->search(rows_.row(9), params);
  EXPECT_EQ(found.neighbors.size(), truth(rows_.row(9), params).size());
  EXPECT_EQ(found.shortfall, Shortfall::kFiltered);
  found = snapshot_->search(rows_.row(9), {.k = 10'000});
  EXPECT_EQ(found.neighbors.size(), snapshot_->size());
  EXPECT_EQ(found.shortfall, Shortfall::kStored);
}

TEST_P(Filtered, FewPassingRowsAreAllThatIsScored) {
  SearchParams params{.k = 3};
  params.among = std::make_shared<IdSet>(ids_of({50, 1230, 4560, 23'010}));
  const auto found = snapshot_->search(rows_.row(2), params);
  EXPECT_EQ(found.path, "exact");
  EXPECT_LE(found.num_scored, 4U + 200U);  // these and the delta
}

TEST_P(Filtered, ASetAndAFilterBothCount) {
  SearchParams params{.k = 20, .recall = 1.0};
  params.among = std::make_shared<IdSet>(std::vector(rows_.ids.begin(), rows_.ids.begin() + 1500));
  params.filter = [](VectorId id) { return static_cast<std::int64_t>(id) % 30 == 0; };
  for (const Neighbor& neighbor : snapshot_->search(rows_.row(8), params).neighbors) {
    EXPECT_TRUE(params.among->contains(neighbor.id) && params.filter(neighbor.id));
  }
}

TEST_P(Filtered, ABatchIsAnsweredAsItsQueriesAlone) {
  for (const double recall : {0.9, 1.0}) {
    for (const std::size_t k : {std::size_t{1}, std::size_t{10}, std::size_t{400}}) {
      const SearchParams params{.k = k, .recall = recall};
      const std::size_t count = 37;
      const auto queries = std::span(rows_.values).first(count * 32);
      const auto together = snapshot_->search_batch(queries, params);
      ASSERT_EQ(together.size(), count);
      for (std::size_t i = 0; i < count; ++i) {
        const auto alone = snapshot_->search(rows_.row(i), params);
        if (recall == 1.0 || together[i].path == alone.path) {
          EXPECT_THAT(together[i].neighbors, ElementsAreArray(alone.neighbors)) << i;
        }
      }
    }
  }
  EXPECT_TRUE(snapshot_->search_batch({}, {}).empty());
  EXPECT_THROW(snapshot_->search_batch(std::span(rows_.values).first(33), {}), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Snapshots, Filtered,
                         testing::Values(Backend::kFlat, Backend::kAnnoy, Backend::kGraph),
                         [](const auto& test) { return std::string(backend_name(test.param)); });

}  // namespace
}  // namespace nearlite
