#include "nearlite/index/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "nearlite/base/error.h"
#include "nearlite/index/calibration.h"
#include "nearlite/index/flat_index.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using test::ids_in;
using testing::ElementsAre;

std::vector<VectorId> ids_of(std::initializer_list<std::int64_t> values) {
  std::vector<VectorId> ids;
  for (const std::int64_t value : values) ids.push_back(VectorId{value});
  return ids;
}

TEST(Tombstones, AreASet) {
  const Tombstones dead(ids_of({5, 3, 5, 9}));
  EXPECT_EQ(dead.size(), 3U);
  EXPECT_TRUE(dead.contains(VectorId{3}));
  EXPECT_FALSE(dead.contains(VectorId{4}));
  EXPECT_EQ(dead.ids(), ids_of({3, 5, 9}));
  EXPECT_TRUE(Tombstones().empty());
}

TEST(Tombstones, GrowWithoutChangingTheOldSet) {
  Tombstones dead;
  for (std::int64_t i = 0; i < 5000; ++i) {
    const Tombstones before = dead;
    const std::array more{VectorId{i * 7 % 5000}, VectorId{0}};
    dead = dead.with(more);
    ASSERT_EQ(before.size(), static_cast<std::size_t>(i));
    ASSERT_EQ(dead.size(), static_cast<std::size_t>(i) + 1);
  }
  EXPECT_TRUE(dead.contains(VectorId{4999}));
  const std::vector<VectorId> all = dead.ids();
  EXPECT_EQ(all.size(), 5000U);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
}

TEST(DeltaIndex, KeepsRowsInOrderOfArrival) {
  DeltaIndex delta(3);
  const test::Rows rows = test::gaussian_rows(1000, 3, 1);
  for (std::size_t i = rows.size(); i-- > 0;) delta.add(rows.ids[i], rows.row(i));
  EXPECT_EQ(delta.size(), 1000U);
  for (std::size_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(delta.id_at(i), rows.ids[999 - i]);
    ASSERT_TRUE(std::ranges::equal(delta.vector_at(i), rows.row(999 - i)));
  }
}

TEST(DeltaIndex, RefusesVectorsThatCannotBe) {
  DeltaIndex delta(2);
  EXPECT_THROW(delta.add(VectorId{1}, std::array{1.0F}), InvalidArgument);
  EXPECT_THROW(delta.add(VectorId{1}, std::array{1.0F, std::numeric_limits<float>::infinity()}),
               InvalidArgument);
  EXPECT_EQ(delta.size(), 0U);
  EXPECT_THROW(DeltaIndex(0), InvalidArgument);
}

TEST(DeltaIndex, IsReadWhileItGrows) {
  const test::Rows rows = test::gaussian_rows(3000, 16, 1);
  const auto delta = std::make_shared<DeltaIndex>(16);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (std::size_t i = 0; i < rows.size(); ++i) delta->add(rows.ids[i], rows.row(i));
    done = true;
  });
  bool equal = true;
  while (!done) {
    const DeltaView view(delta);
    const IndexSnapshot snapshot(16, {}, view);
    const VectorRows first{std::span(rows.ids).first(view.num_rows),
                           std::span(rows.values).first(view.num_rows * 16), 16};
    const SearchResult truth = exact_search(first, rows.row(0), {.k = 5});
    equal = equal && snapshot.search(rows.row(0), {.k = 5}).neighbors == truth.neighbors;
  }
  writer.join();
  EXPECT_TRUE(equal);
}

/// An index that says what it costs and answers with the exact neighbors of some rows.
class FakeIndex : public CostedIndex {
 public:
  FakeIndex(const test::Rows& rows, double cost_us, double best_recall)
      : flat_(rows.view()), cost_us_(cost_us), best_recall_(best_recall) {}
  SearchResult search(std::span<const float> query, const SearchParams& params) const override {
    SearchResult result = flat_.search(query, params);
    result.path = "annoy";
    result.recall = best_recall_;
    return result;
  }
  void save(const std::filesystem::path& file) const override { flat_.save(file); }
  std::size_t size() const noexcept override { return flat_.size(); }
  std::size_t dim() const noexcept override { return flat_.dim(); }
  Metric metric() const noexcept override { return Metric::kCosine; }
  std::optional<double> estimated_us(const SearchParams& params) const override {
    return params.recall <= best_recall_ ? std::optional(cost_us_) : std::nullopt;
  }
  std::uint64_t memory_bytes() const noexcept override { return 0; }

 private:
  FlatIndex flat_;
  double cost_us_;
  double best_recall_;
};

class Snapshot : public testing::Test {
 protected:
  static constexpr std::size_t kDim = 64;
  std::shared_ptr<const Segment> segment_of(const test::Rows& rows, const std::string& name) {
    write_segment(folder_ / name, rows.view(), {.dim = rows.dim});
    return Segment::open(folder_ / name);
  }
  std::string_view path_with(double cost_us, double best_recall, const SearchParams& params) {
    const SnapshotPart part{.segment = segment_of(rows_, "planned"),
                            .index = std::make_shared<FakeIndex>(rows_, cost_us, best_recall)};
    return IndexSnapshot(kDim, {part}).search(rows_.row(0), params).path;
  }
  test::TemporaryFolder folder_;
  test::Rows rows_ = test::clustered_rows(3000, kDim, 6);
};

TEST_F(Snapshot, UsesTheIndexOnlyWhereItIsCheaperAtTheAskedRecall) {
  constexpr double kFree = 0.001;  // microseconds
  constexpr double kDear = 1'000'000;
  EXPECT_EQ(path_with(kFree, 0.995, {.recall = 0.99}), "annoy");
  EXPECT_EQ(path_with(kDear, 0.995, {.recall = 0.99}), "exact");
  EXPECT_EQ(path_with(kFree, 0.9, {.recall = 0.99}), "exact");
  EXPECT_EQ(path_with(kFree, 0.9, {.recall = 0.8}), "annoy");
  EXPECT_EQ(path_with(kFree, 1.0, {.recall = 1.0}), "exact");
  EXPECT_EQ(path_with(kDear, 0.9, {.recall = 0.99, .index_only = true}), "annoy");
  EXPECT_EQ(path_with(kDear, 0.9, {.recall = 1.0, .index_only = true}), "exact");
}

TEST_F(Snapshot, SaysWhatRecallItPromises) {
  const SnapshotPart part{.segment = segment_of(rows_, "a"),
                          .index = std::make_shared<FakeIndex>(rows_, 1.0, 0.93)};
  const IndexSnapshot snapshot(kDim, {part});
  EXPECT_EQ(snapshot.search(rows_.row(0), {.recall = 0.9, .index_only = true}).recall, 0.93);
  EXPECT_EQ(snapshot.search(rows_.row(0), {.recall = 1.0}).recall, 1.0);
}

TEST_F(Snapshot, ReturnsKLiveRowsThoughTheNearestAreDead) {
  const auto segment = segment_of(rows_, "a");
  const auto nearest = exact_search(rows_.view(), rows_.row(5), {.k = 700}).neighbors;
  std::vector<VectorId> dead;
  for (std::size_t i = 0; i < 600; ++i) dead.push_back(nearest[i].id);
  for (const auto& index :
       {std::shared_ptr<const VectorIndex>(),
        std::shared_ptr<const VectorIndex>(std::make_shared<FakeIndex>(rows_, 1.0, 0.99))}) {
    const IndexSnapshot snapshot(kDim, {{segment, index}}, {}, Tombstones(dead));
    const SearchResult result =
        snapshot.search(rows_.row(5), {.k = 100, .recall = 0.9, .index_only = true});
    ASSERT_EQ(result.neighbors.size(), 100U);
    EXPECT_TRUE(
        std::equal(result.neighbors.begin(), result.neighbors.end(), nearest.begin() + 600));
    EXPECT_EQ(snapshot.size(), 2400U);
  }
}

TEST_F(Snapshot, MergesItsPartsIntoOneOrder) {
  const test::Rows all = test::clustered_rows(1000, kDim, 8);
  std::vector<SnapshotPart> parts;
  for (std::size_t part = 0; part < 3; ++part) {
    test::Rows some{.ids = {}, .values = {}, .dim = kDim};
    for (std::size_t i = part; i < 900; i += 3) {
      some.ids.push_back(all.ids[i]);
      some.values.insert(some.values.end(), all.row(i).begin(), all.row(i).end());
    }
    parts.push_back({.segment = segment_of(some, std::to_string(part))});
  }
  const auto delta = std::make_shared<DeltaIndex>(kDim);
  for (std::size_t i = 900; i < 1000; ++i) delta->add(all.ids[i], all.row(i));
  const IndexSnapshot snapshot(kDim, parts, DeltaView(delta));
  for (std::size_t i = 0; i < 1000; i += 77) {
    EXPECT_EQ(snapshot.search(all.row(i), {.k = 40}).neighbors,
              exact_search(all.view(), all.row(i), {.k = 40}).neighbors);
  }
}

TEST_F(Snapshot, GivesItsLiveRowsForAMerge) {
  const test::Rows rows = test::rows_of(2, {1, 2, 3, 4, 5, 6});
  const auto delta = std::make_shared<DeltaIndex>(2);
  delta->add(VectorId{15}, std::array{7.0F, 8.0F});
  const IndexSnapshot snapshot(2, {{.segment = segment_of(rows, "a")}}, DeltaView(delta),
                               Tombstones(ids_of({20})));
  const IndexSnapshot::Rows live = snapshot.live_rows();
  EXPECT_EQ(live.ids, ids_of({10, 15, 30}));
  EXPECT_THAT(live.values, ElementsAre(1, 2, 7, 8, 5, 6));
  snapshot.save(folder_ / "merged.vecs");
  EXPECT_EQ(Segment::open(folder_ / "merged.vecs")->size(), 3U);
}

TEST_F(Snapshot, DoesNotSeeRowsAddedLater) {
  const auto delta = std::make_shared<DeltaIndex>(2);
  delta->add(VectorId{1}, std::array{1.0F, 0.0F});
  const IndexSnapshot snapshot(2, {}, DeltaView(delta));
  delta->add(VectorId{2}, std::array{1.0F, 0.0F});
  EXPECT_THAT(ids_in(snapshot.search(std::array{1.0F, 0.0F}, {})), ElementsAre(1));
  EXPECT_THAT(ids_in(IndexSnapshot(2, {}, DeltaView(delta)).search(std::array{1.0F, 0.0F}, {})),
              ElementsAre(1, 2));
}

TEST_F(Snapshot, RefusesPartsThatDoNotFit) {
  const auto segment = segment_of(rows_, "a");
  EXPECT_THROW(IndexSnapshot(kDim + 1, {{.segment = segment}}), InvalidArgument);
  EXPECT_THROW(IndexSnapshot(kDim, {SnapshotPart{}}), InvalidArgument);
  const auto smaller = std::make_shared<FakeIndex>(test::clustered_rows(10, kDim, 1), 1.0, 1.0);
  EXPECT_THROW(IndexSnapshot(kDim, {{.segment = segment, .index = smaller}}), InvalidArgument);
  EXPECT_THROW(IndexSnapshot(kDim, {}, DeltaView(std::make_shared<DeltaIndex>(3))),
               InvalidArgument);
}

TEST(Calibration, IsKeptAsText) {
  const Calibration calibration{
      {{.search_k = 100, .recall = 0.5, .recall_low = 0.45, .microseconds = 3.25},
       {.search_k = 4000, .recall = 0.995, .recall_low = 0.991, .microseconds = 90.5}}};
  EXPECT_EQ(Calibration::from_json(calibration.to_json()), calibration);
  EXPECT_EQ(calibration.cheapest_for(0.99)->search_k, 4000U);
  EXPECT_EQ(calibration.cheapest_for(0.4)->search_k, 100U);
  EXPECT_EQ(calibration.cheapest_for(0.999), std::nullopt);
  for (
      const char* text :
      {"", "{", "[]", "{}", R"({"version": 2, "efforts": []})", R"({"version": 1, "efforts": [1]})",
       R"({"version": 1, "efforts": [{"search_k": 1, "recall": 1, "recall_low": 7, "microseconds": 1}]})"}) {
    EXPECT_THROW(Calibration::from_json(text), CorruptData) << text;
  }
}

TEST(Backend, HasANameBothWays) {
  for (const Backend backend : {Backend::kAuto, Backend::kAnnoy, Backend::kFaiss, Backend::kFlat}) {
    EXPECT_EQ(backend_of(backend_name(backend)), backend);
  }
  EXPECT_EQ(backend_of("Annoy"), Backend::kAnnoy);
  EXPECT_THROW(backend_of("hnsw"), InvalidArgument);
}

}  // namespace
}  // namespace nearlite
