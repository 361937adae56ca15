#include "nearlite/index/faiss_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "nearlite/base/error.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/id_set.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using testing::HasSubstr;

TEST(FaissPluginFile, ThatIsMissingIsNamedWithWhatToDo) {
  try {
    load_faiss_plugin("/nowhere/libnearlite_faiss.so");
    FAIL() << "nothing was thrown";
  } catch (const NotFound& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/libnearlite_faiss.so"));
    EXPECT_THAT(error.hint(), HasSubstr("libfaiss-dev"));
  }
}

TEST(FaissPluginFile, ThatIsNoLibraryIsRefused) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "libnearlite_faiss.so") << "not a library";
  EXPECT_THROW(load_faiss_plugin(folder / "libnearlite_faiss.so"), NotFound);
}

TEST(FaissPluginFile, LeavesNoIndexBehindWhenItIsMissing) {
  const test::TemporaryFolder folder;
  const BackendFileOptions options{.faiss_plugin = folder / "missing.so"};
  EXPECT_THROW(build_backend_file(Backend::kFaiss, test::gaussian_rows(5, 2, 1).view(),
                                  folder / "a.faiss", options),
               NotFound);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.faiss"));
}

#ifdef NEARLITE_TEST_FAISS
class Faiss : public testing::Test {
 protected:
  std::shared_ptr<const VectorIndex> index_of(const test::Rows& rows) {
    build_backend_file(Backend::kFaiss, rows.view(), folder_ / "a.faiss");
    return open_backend_file(Backend::kFaiss, folder_ / "a.faiss", rows.dim, rows.ids);
  }
  std::shared_ptr<const FaissIndex> graph_of(const test::Rows& rows) {
    build_backend_file(Backend::kFaiss, rows.view(), folder_ / "a.faiss", {.faiss_hnsw_from = 0});
    return FaissIndex::open(load_faiss_plugin(), folder_ / "a.faiss", rows.dim, rows.ids);
  }
  test::TemporaryFolder folder_;
};

TEST_F(Faiss, FindsWhatTheExactSearchFinds) {
  const test::Rows rows = test::clustered_rows(3000, 70, 4);
  const auto index = index_of(rows);
  for (std::size_t i = 0; i < 10; ++i) {
    const SearchResult found = index->search(rows.row(i * 37), {.k = 50});
    EXPECT_EQ(found.path, "faiss");
    EXPECT_EQ(found.recall, 1.0);
    EXPECT_EQ(test::ids_in(found),
              test::ids_in(exact_search(rows.view(), rows.row(i * 37), {.k = 50})));
  }
}

TEST_F(Faiss, OrdersManyEqualVectorsById) {
  std::vector<float> values;
  for (int i = 0; i < 500; ++i) values.insert(values.end(), {1.0F, 2.0F});
  const test::Rows rows = test::rows_of(2, std::move(values));
  const auto found = index_of(rows)->search(std::array{1.0F, 2.0F}, {.k = 3});
  EXPECT_EQ(test::ids_in(found), (std::vector<std::int64_t>{10, 20, 30}));
}

TEST_F(Faiss, SavesTheFileThatItRead) {
  const test::Rows rows = test::clustered_rows(100, 8, 4);
  index_of(rows)->save(folder_ / "b.faiss");
  EXPECT_EQ(read_file(folder_ / "a.faiss"), read_file(folder_ / "b.faiss"));
}

TEST_F(Faiss, AGraphFindsWhatItPromises) {
  const test::Rows rows = test::clustered_rows(5000, 48, 4);
  const auto graph = graph_of(rows);
  ASSERT_TRUE(graph->is_graph());
  for (const double asked : {0.9, 0.99}) {
    std::size_t found = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      const SearchResult result = graph->search(rows.row(i * 97), {.recall = asked});
      EXPECT_GE(result.recall, asked);
      for (const std::int64_t id : test::ids_in(exact_search(rows.view(), rows.row(i * 97), {})))
        found += std::ranges::count(test::ids_in(result), id);
    }
    EXPECT_GE(static_cast<double>(found) / 500.0, asked);
  }
}

TEST_F(Faiss, AGraphIsOnlyWrittenForManyVectors) {
  const test::Rows rows = test::clustered_rows(60, 8, 4);
  const auto built = build_backend_file(Backend::kFaiss, rows.view(), folder_ / "b.faiss",
                                        {.faiss_hnsw_from = 61});
  EXPECT_TRUE(built.calibration_json.empty());
  EXPECT_EQ(read_file(folder_ / "b.faiss").substr(0, 4), "IxFI");
  build_backend_file(Backend::kFaiss, rows.view(), folder_ / "c.faiss", {.faiss_hnsw_from = 60});
  EXPECT_EQ(read_file(folder_ / "c.faiss").substr(0, 4), "IHNf");
}

TEST_F(Faiss, TheSameRowsGiveTheSameGraph) {
  const test::Rows rows = test::clustered_rows(500, 16, 4);
  graph_of(rows)->save(folder_ / "b.faiss");
  EXPECT_EQ(read_file(folder_ / "a.faiss"), read_file(folder_ / "b.faiss"));
  graph_of(rows);
  EXPECT_EQ(read_file(folder_ / "a.faiss"), read_file(folder_ / "b.faiss"));
}

TEST_F(Faiss, AFilterThatFewPassIsAnsweredWhole) {
  const test::Rows rows = test::clustered_rows(3000, 16, 4);
  const auto graph = graph_of(rows);
  std::vector<VectorId> few;
  for (std::size_t i = 0; i < rows.size(); i += 300) few.push_back(rows.ids[i]);
  const auto among = std::make_shared<const IdSet>(few);
  EXPECT_EQ(test::ids_in(graph->search(rows.row(5), {.among = among})),
            test::ids_in(exact_search(rows.view(), rows.row(5), {.among = among})));
}

TEST_F(Faiss, KnowsWhatAQueryCosts) {
  const auto index =
      std::dynamic_pointer_cast<const CostedIndex>(index_of(test::clustered_rows(100, 8, 4)));
  ASSERT_NE(index, nullptr);
  EXPECT_GT(index->estimated_us({.recall = 1.0}).value(), 0.0);
}
#endif

}  // namespace
}  // namespace nearlite
