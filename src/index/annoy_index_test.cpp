#include "nearlite/index/annoy_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <fstream>
#include <string_view>

#include "annoy_format.h"
#include "nearlite/base/error.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

/// A file that the library itself wrote: tools/make_annoy_golden.py.
constexpr std::string_view kLibraryFileHex =
    "010000000000803f000000000000803f0000000000000000010000000000004000000000b3cc433f73eb243f000080"
    "3f"
    "010000000000a04000000000de0b2e3e6f467c3f00000040010000000000803f00000000983d01bf4afb5c3f000000"
    "00"
    "0100000000000040000000007c3571bf9183ab3e0000803f010000000000a04000000000a0bb6fbfdc99b3be000000"
    "40"
    "010000000000803f000000007703fbbe971f5fbf0000000001000000000000400000000019fd3e3e04827bbf000080"
    "3f"
    "010000000000a040000000007c8b463fb19a21bf0000004001000000ffff7f3f00000000bcf67f3f4ebd893c000000"
    "00"
    "010000000000004000000000bdff403f4630283f0000803f010000000000a040000000000a0e1d3e98f87c3f000000"
    "40"
    "01000000ffff7f3f000000001af004bffec65a3f00000000010000000000004000000000e29d72bfdc60a33e000080"
    "3f"
    "010000000000a040000000006b306ebf27a3bbbe00000040010000000000803f000000009479f3bebe3361bf000000"
    "00"
    "01000000000000400000000082e04f3e64ab7abf0000803f010000000000a04000000000e73b493f3c3e1ebf000000"
    "40"
    "010000000000803f00000000f2da7f3f52b8093d00000000010000000000004000000000cf243e3fed682b3f000080"
    "3f"
    "010000000000a04000000000d7040c3e72987d3f00000040010000000000803f00000000fd9808bfdd82583f000000"
    "00"
    "010000000000004000000000b9f473bf54329b3e0000803f010000000000a04000000000f8936cbfdd9ec3be000000"
    "40"
    "03000000030000000c00000015000000000000000000000002000000060000000f0000000000000000000000000000"
    "00"
    "03000000050000000e00000017000000000000000000000003000000040000000d0000001600000000000000000000"
    "00"
    "060000001a0000001b000000c9ef01bf4cc5463f153cbfbe08000000190000001c00000031c16cbd3ea7413f97c726"
    "3f"
    "0b0000001d000000180000006577533bf5785a3f8b6f05bf0500000000000000070000000900000010000000120000"
    "00"
    "03000000020000000b0000001400000000000000000000000500000001000000080000000a00000011000000130000"
    "00"
    "0800000020000000210000009b35563f3fa2f7bef97283be0d0000001f000000220000005c1b9dbe8ade593faf28da"
    "3e"
    "18000000230000001e00000011147abf8fd1913c58365abe0300000000000000090000001200000000000000000000"
    "00"
    "03000000010000000a0000001300000000000000000000000600000025000000260000001996f9be34d7ee3ec2f23c"
    "3f"
    "02000000060000000f0000000000000000000000000000000400000007000000080000001000000011000000000000"
    "00"
    "060000002800000029000000eb1c213fe3adb53e64fe303f0c000000270000002a000000120227bfd5d435bf2b6087"
    "3e"
    "03000000030000000c00000015000000000000000000000003000000020000000b0000001400000000000000000000"
    "00"
    "03000000050000000e00000017000000000000000000000003000000040000000d0000001600000000000000000000"
    "00"
    "060000002e0000002f000000edbb01bfd8cd463f3ba5bfbe090000002d00000030000000b3b359bf5d4d01bf57e116"
    "be"
    "0c0000002c00000031000000c2f61b3ecc9525bfd94d3f3f180000002b0000003200000090fa46bff20a1f3f39c8cb"
    "3d"
    "18000000230000001e00000011147abf8fd1913c58365abe180000002b0000003200000090fa46bff20a1f3f39c8cb"
    "3d";

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

TEST_F(Annoy, ReadsFilesOfTheLibrary) {
  std::ofstream out(file_, std::ios::binary);
  for (std::size_t i = 0; i < kLibraryFileHex.size(); i += 2) {
    out.put(static_cast<char>(std::stoi(std::string(kLibraryFileHex.substr(i, 2)), nullptr, 16)));
  }
  out.close();
  std::vector<VectorId> ids;
  for (std::int64_t i = 0; i < 24; ++i) ids.push_back(VectorId{i});
  const auto index = AnnoyIndex::open(file_, 3, ids);
  EXPECT_EQ(index->num_trees(), 2U);
  const SearchResult found =
      index->search_with_effort(std::array{1.0F, 0.5F, 0.25F}, {.k = 6}, 1000);
  EXPECT_EQ(test::ids_in(found), (std::vector<std::int64_t>{18, 9, 0, 1, 10, 19}));
}

TEST_F(Annoy, MeasuresItselfOnlyWhenNothingIsRemembered) {
  const test::Rows rows = test::clustered_rows(2000, 32, 5);
  const Calibration remembered{
      {{.search_k = 777, .recall = 0.9, .recall_low = 0.88, .microseconds = 5}}};
  EXPECT_EQ(index_of(rows, {}, remembered)->calibration(), remembered);
  EXPECT_EQ(index_of(rows, {}, remembered)->estimated_us({.recall = 0.85}), 5.0);
  const Calibration measured = index_of(rows)->calibration();
  ASSERT_FALSE(measured.empty());
  for (const Effort& effort : measured.efforts) {
    EXPECT_LE(effort.recall_low, effort.recall);
    EXPECT_GT(effort.microseconds, 0);
  }
  EXPECT_GE(measured.efforts.back().recall, 0.99);
}

TEST_F(Annoy, ExpectsToPayMoreForAFilterOrALargerK) {
  const test::Rows rows = test::clustered_rows(2000, 32, 5);
  const auto index = index_of(
      rows, {}, {{{.search_k = 100, .recall = 0.9, .recall_low = 0.88, .microseconds = 5}}});
  const auto tenth = [](VectorId id) { return static_cast<std::int64_t>(id) % 100 == 0; };
  EXPECT_DOUBLE_EQ(index->estimated_us({.k = 30, .recall = 0.8}).value(), 15.0);
  EXPECT_GT(index->estimated_us({.recall = 0.8, .filter = tenth}).value(), 30.0);
  const auto none = [](VectorId) { return false; };
  EXPECT_EQ(index->estimated_us({.recall = 0.8, .filter = none}), std::nullopt);
  EXPECT_EQ(index->estimated_us({.recall = 1.0}), std::nullopt);
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
