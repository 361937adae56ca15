#include "nearlite/index/segment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <fstream>
#include <thread>

#include "nearlite/base/error.h"
#include "nearlite/index/flat_index.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

/// The worked example of docs/formats/segment-file.md as version 1 wrote it.
constexpr std::string_view kVersionOneHex =
    "4e4c564543530d0a0100000000010000a0020000000000000200000000000000"
    "0200000001000000050000000000000000000100060000000400000002000000"
    "0100000000000000000100000000000010000000000000000200000000000000"
    "4001000000000000080000000000000004000000000000008001000000000000"
    "08000000000000000500000000000000c0010000000000001800000000000000"
    "0600000000000000000200000000000040000000000000000300000000000000"
    "40020000000000001000000000000000626f74736d3100000000000000000000"
    "0000000000000000000000000000000000000000000000000adb56b847aa8299"
    "0700000000000000090000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000a0400000803f000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "9a99993ecdccccbd000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "d436e83bd436e83b21ac723f21ac723f0bcf1a3b71cf1a3b0000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "aaff808056018080808080808080808080808080808080808080808080808080"
    "8080808080808080808080808080808080808080808080808080808080808080"
    "000040400000804000000000000080bf00000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "a8f1762cfc5ee88e3796c488f8540674a0020000000000004e4c564543454e44";

/// The same example as it is written now.
constexpr std::string_view kExampleHex =
    "4e4c564543530d0a0200000000010000e0020000000000000200000000000000"
    "0200000001000000050000000000000000000100070000000400000002000000"
    "0100000000000000000100000000000010000000000000000200000000000000"
    "4001000000000000080000000000000004000000000000008001000000000000"
    "08000000000000000700000000000000c0010000000000003000000000000000"
    "0800000000000000000200000000000040000000000000000900000000000000"
    "4002000000000000080000000000000003000000000000008002000000000000"
    "1000000000000000626f74736d3100000000000000000000f37cf0098b8b3b56"
    "0700000000000000090000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000a0400000803f000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "9a99993ecdccccbd000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "d436e83bd436e83b21ac723f21ac723f0bcf1a3b71cf1a3b8354643ff99f663f"
    "5789683dfad1433d49dd123b46dd123b00000000000000000000000000000000"
    "8a8f888885808888888888888888888888888888888888888888888888888888"
    "8888888888888888888888888888888888888888888888888888888888888888"
    "0a0f000006010000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "000040400000804000000000000080bf00000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "8be77c5f8b0f9cbda0a8fc35c4fd4a68e0020000000000004e4c564543454e44";

std::string bytes_of_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

class SegmentFile : public testing::Test {
 protected:
  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "a.vecs";
};

TEST_F(SegmentFile, IsWrittenAsDocumented) {
  const std::array ids{VectorId{7}, VectorId{9}};
  const std::array values{3.0F, 4.0F, 0.0F, -1.0F};
  write_segment(file_, {ids, values, 2},
                {.store = "bots", .generation = 5, .model_identity = "m1", .dim = 2});
  EXPECT_EQ(read_file(file_), bytes_of_hex(kExampleHex));
}

TEST_F(SegmentFile, OfVersionOneIsRead) {
  std::ofstream(file_, std::ios::binary) << bytes_of_hex(kVersionOneHex);
  const auto segment = Segment::open(file_);
  EXPECT_EQ(segment->info().store, "bots");
  EXPECT_EQ(segment->info().generation, 5U);
  EXPECT_EQ(segment->info().model_identity, "m1");
  EXPECT_EQ(segment->position_of(VectorId{9}), 1U);
  EXPECT_EQ(segment->position_of(VectorId{8}), std::nullopt);
  EXPECT_THAT(segment->vector_at(0), testing::ElementsAre(3.0F, 4.0F));
  EXPECT_THAT(test::ids_in(segment->search(std::array{0.0F, -1.0F}, {})),
              testing::ElementsAre(9, 7));
}

TEST_F(SegmentFile, ReturnsVectorsBitForBit) {
  const test::Rows rows = test::gaussian_rows(777, 33, 4);
  write_segment(file_, rows.view(), {.dim = 33});
  const auto segment = Segment::open(file_);
  const VectorRows read = segment->rows();
  ASSERT_EQ(read.values.size(), rows.values.size());
  EXPECT_EQ(std::memcmp(read.values.data(), rows.values.data(), read.values.size_bytes()), 0);
  EXPECT_TRUE(std::equal(read.ids.begin(), read.ids.end(), rows.ids.begin()));
}

TEST_F(SegmentFile, RefusesRowsThatCannotBe) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto write = [&](std::vector<VectorId> ids, std::vector<float> values, std::size_t dim,
                         SegmentInfo info) {
    write_segment(file_, {ids, values, dim}, info);
  };
  EXPECT_THROW(write({VectorId{2}, VectorId{1}}, {1, 2}, 1, {.dim = 1}), InvalidArgument);
  EXPECT_THROW(write({VectorId{1}, VectorId{1}}, {1, 2}, 1, {.dim = 1}), InvalidArgument);
  EXPECT_THROW(write({VectorId{1}}, {1, 2}, 1, {.dim = 1}), InvalidArgument);
  EXPECT_THROW(write({VectorId{1}}, {nan}, 1, {.dim = 1}), InvalidArgument);
  EXPECT_THROW(write({VectorId{1}}, {3e38F, 3e38F}, 2, {.dim = 2}), InvalidArgument);
  EXPECT_THROW(write({VectorId{1}}, {1}, 1, {.dim = 2}), InvalidArgument);
  EXPECT_THROW(write({}, {}, 0, {.dim = 0}), InvalidArgument);
  EXPECT_THROW(write({}, {}, 70'000, {.dim = 70'000}), InvalidArgument);
  EXPECT_THROW(write({VectorId{1}}, {1}, 1, {.store = std::string(5000, 'x'), .dim = 1}),
               InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(SegmentFile, KeepsTheOldFileWhenWritingFails) {
  write_segment(file_, test::gaussian_rows(10, 4, 1).view(), {.dim = 4});
  const std::string before = read_file(file_);
  EXPECT_THROW(write_segment(file_, test::gaussian_rows(10, 4, 1).view(), {.dim = 5}),
               InvalidArgument);
  EXPECT_EQ(read_file(file_), before);
}

TEST_F(SegmentFile, ServesReadersAfterItWasReplaced) {
  const test::Rows old_rows = test::gaussian_rows(2000, 64, 1);
  write_segment(file_, old_rows.view(), {.dim = 64});
  const auto segment = Segment::open(file_);
  write_segment(file_, test::gaussian_rows(5, 64, 2).view(), {.dim = 64});
  EXPECT_EQ(segment->search(old_rows.row(3), {.k = 5}).neighbors,
            exact_search(old_rows.view(), old_rows.row(3), {.k = 5}).neighbors);
}

TEST_F(SegmentFile, ChecksItsBlocksFromManyThreads) {
  const test::Rows rows = test::clustered_rows(4000, 64, 1);
  write_segment(file_, rows.view(), {.dim = 64});
  const auto expected = exact_search(rows.view(), rows.row(9), {.k = 10}).neighbors;
  const auto segment = Segment::open(file_);
  std::array<bool, 4> equal{};
  std::vector<std::thread> threads;
  for (bool& same : equal) {
    threads.emplace_back(
        [&] { same = segment->search(rows.row(9), {.k = 10}).neighbors == expected; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(equal, testing::Each(true));
}

}  // namespace
}  // namespace nearlite
