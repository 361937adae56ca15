// Whatever happens to a file, it is refused with CorruptData or still right: never a crash, never a
// wrong answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <thread>

#include "annoy_format.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/index/annoy_index.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/segment.h"
#include "segment_format.h"
#include "test_damage.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using testing::HasSubstr;

using test::corruption_of;
using test::flipped;
using test::write_bytes;

template <typename T>
std::string with_value(std::string bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

class SegmentDamage : public testing::Test {
 protected:
  SegmentDamage() {
    rows_ = test::clustered_rows(1500, 40, 7);
    write_segment(file_, rows_.view(),
                  {.store = "bots", .generation = 3, .model_identity = "m", .dim = 40});
    good_ = read_file(file_);
  }
  /// Opens and touches everything.
  void use() const { Segment::open(file_)->verify(); }
  std::string corruption_with(std::string_view bytes) {
    write_bytes(file_, bytes);
    return corruption_of([this] { use(); });
  }

  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "a.vecs";
  test::Rows rows_;
  std::string good_;
};

TEST_F(SegmentDamage, IsFoundInEveryBlock) {
  for (std::size_t at = 0; at < good_.size(); at += 65'536) {
    const std::size_t place = std::min(good_.size() - 1, at + (at * 7919) % 65'536);
    EXPECT_THAT(corruption_with(flipped(good_, place, place % 8)), HasSubstr("a.vecs"));
  }
  EXPECT_THAT(corruption_with(flipped(good_, 2 * 65'536 + 5, 0)), HasSubstr("block 2"));
}

TEST_F(SegmentDamage, IsFoundInEveryByteOfHeaderAndFooter) {
  const std::size_t tail = sizeof(BlockFileFooter) + 8 * (good_.size() / kBlockBytes + 1);
  for (std::size_t at = 0; at < 256; ++at) corruption_with(flipped(good_, at, at % 8));
  for (std::size_t at = good_.size() - tail - 64; at < good_.size(); ++at) {
    corruption_with(flipped(good_, at, at % 8));
  }
}

TEST_F(SegmentDamage, OfABlockIsFoundBeforeItsRowsAreUsed) {
  write_bytes(file_, flipped(good_, good_.size() / 2, 3));
  const auto segment = Segment::open(file_);
  corruption_of([&] { segment->search(rows_.row(0), {.k = 3}); });
  corruption_of([&] { segment->rows(); });
  corruption_of([&] {
    for (std::size_t i = 0; i < segment->size(); ++i) segment->vector_at(i);
  });
}

TEST_F(SegmentDamage, CutsAreRefused) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{8}, sizeof(BlockFileHeader),
        sizeof(BlockFileHeader) + sizeof(BlockFileFooter), std::size_t{65'535}, std::size_t{65'536},
        good_.size() / 2, good_.size() - sizeof(BlockFileFooter), good_.size() - 8,
        good_.size() - 1}) {
    corruption_with(good_.substr(0, size));
  }
  for (std::size_t size = 64; size < good_.size(); size += 4099)
    corruption_with(good_.substr(0, size));
}

TEST_F(SegmentDamage, AddedBytesAreRefused) {
  corruption_with(good_ + '\0');
  corruption_with(good_ + good_);
  corruption_with('\0' + good_);
}

TEST_F(SegmentDamage, SwappedAndZeroedBlocksAreFound) {
  std::string swapped = good_;
  std::swap_ranges(swapped.begin() + 65'536, swapped.begin() + 2 * 65'536,
                   swapped.begin() + 2 * 65'536);
  corruption_with(swapped);
  std::string zeroed = good_;
  std::fill(zeroed.begin() + 65'536, zeroed.begin() + 65'536 + 4096, '\0');
  corruption_with(zeroed);
  corruption_with(std::string(good_.size(), '\0'));
}

/// A damaged header that somebody gave a fitting hash.
std::string with_header(std::string bytes, const std::function<void(BlockFileHeader&)>& change) {
  BlockFileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::size_t hashed = header.header_bytes - 8;
  change(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return with_value(bytes, hashed, xxh3_64(std::string_view(bytes).substr(0, hashed)));
}

TEST_F(SegmentDamage, CountsThatCannotBeAreRefusedBeforeAnythingIsAllocated) {
  const auto refused = [&](const std::function<void(BlockFileHeader&)>& change) {
    corruption_with(with_header(good_, change));
  };
  for (const std::uint64_t rows :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32, std::uint64_t{1} << 61,
        std::uint64_t{1} << 62, std::numeric_limits<std::uint64_t>::max()}) {
    refused([&](BlockFileHeader& header) { header.rows = rows; });
  }
  for (const std::uint32_t dim : {0U, 39U, 41U, 65'537U, 0xffffffffU}) {
    refused([&](BlockFileHeader& header) { header.dim = dim; });
  }
  refused([](BlockFileHeader& header) { header.header_bytes = 0xffffffc0U; });
  refused([](BlockFileHeader& header) { header.header_bytes = 0; });
  refused([](BlockFileHeader& header) { header.num_sections = 0xffffffffU; });
  refused([](BlockFileHeader& header) { header.num_sections = 1; });
  refused([](BlockFileHeader& header) { header.store_bytes = 0xffffffffU; });
  refused([](BlockFileHeader& header) { header.block_bytes = 1; });
  refused([](BlockFileHeader& header) { header.metric = 2; });
  refused([](BlockFileHeader& header) { header.file_bytes += 1; });
}

TEST_F(SegmentDamage, SectionsOutsideTheFileAreRefused) {
  for (std::size_t section = 0; section < 6; ++section) {
    const std::size_t entry = sizeof(BlockFileHeader) + section * sizeof(SectionEntry);
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{1} << 40,
                                       std::numeric_limits<std::uint64_t>::max() - 63}) {
      corruption_with(with_header(with_value(good_, entry + 8, offset), [](BlockFileHeader&) {}));
    }
    for (const std::uint64_t bytes :
         {std::uint64_t{0}, std::uint64_t{1} << 40, std::numeric_limits<std::uint64_t>::max()}) {
      corruption_with(with_header(with_value(good_, entry + 16, bytes), [](BlockFileHeader&) {}));
    }
  }
}

TEST_F(SegmentDamage, ANewerVersionIsNamed) {
  EXPECT_THAT(
      corruption_with(with_header(good_, [](BlockFileHeader& header) { header.version = 9; })),
      HasSubstr("version 9"));
}

TEST_F(SegmentDamage, ASegmentOfSomebodyElseIsRefused) {
  const auto refuse = [&](const SegmentExpectation& expectation) {
    return corruption_of([&] { Segment::open(file_, expectation); });
  };
  EXPECT_THAT(refuse({.store = "errors"}), HasSubstr("'bots'"));
  EXPECT_THAT(refuse({.generation = 4}), HasSubstr("generation 3"));
  EXPECT_THAT(refuse({.model_identity = "other"}), HasSubstr("model 'm'"));
  EXPECT_THAT(refuse({.dim = 384}), HasSubstr("dimension 40"));
  refuse({.digest = SegmentDigest{.rows = 1500, .file_bytes = good_.size(), .content_hash = 1}});
  const auto segment =
      Segment::open(file_, {.store = "bots", .generation = 3, .model_identity = "m", .dim = 40});
  EXPECT_NO_THROW(Segment::open(file_, {.digest = segment->digest()}));
}

TEST_F(SegmentDamage, OnlyRegularFilesAreOpened) {
  EXPECT_THROW(Segment::open(folder_ / "missing.vecs"), NotFound);
  std::filesystem::create_directory(folder_ / "folder");
  EXPECT_THROW(Segment::open(folder_ / "folder"), CorruptData);
}

TEST_F(SegmentDamage, AFileCutOrOverwrittenWhileOpenIsNoticed) {
  const auto segment = Segment::open(file_);
  segment->search(rows_.row(0), {});
  std::filesystem::resize_file(file_, 100);
  EXPECT_THAT(corruption_of([&] { segment->search(rows_.row(0), {}); }),
              HasSubstr("while it was open"));
  corruption_of([&] { segment->rows(); });
  corruption_of([&] { segment->position_of(rows_.ids[3]); });
}

/// Cuts or overwrites a file in place while threads use it: each use is right or throws
/// CorruptData.
void damage_during(const std::filesystem::path& file, const std::string& good,
                   const std::function<void()>& use) {
  std::atomic<bool> stop{false};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        try {
          use();
        } catch (const CorruptData&) {
          break;  // this map is lost, as it should be
        }
      }
    });
  }
  std::mt19937 random(3);
  std::string other(good.size(), '\0');
  for (char& byte : other) byte = static_cast<char>(random());
  write_bytes(file, other);
  std::filesystem::resize_file(file, good.size() / 3);
  std::filesystem::resize_file(file, 0);
  std::filesystem::resize_file(file, good.size());
  stop = true;
}

TEST_F(SegmentDamage, AFileCutWhileThreadsReadItNeverEndsTheProcess) {
  const SearchParams params{.k = 5};
  const auto expected = Segment::open(file_)->search(rows_.row(3), params).neighbors;
  for (int round = 0; round < 20; ++round) {
    write_bytes(file_, good_);
    // Long ago, as files are: times of files are counted in steps of some milliseconds.
    std::filesystem::last_write_time(
        file_, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    const auto segment = Segment::open(file_);
    damage_during(file_, good_,
                  [&] { EXPECT_EQ(segment->search(rows_.row(3), params).neighbors, expected); });
    corruption_of([&] { segment->search(rows_.row(3), params); });
  }
}

class AnnoyDamage : public testing::Test {
 protected:
  static constexpr std::size_t kDim = 6;
  AnnoyDamage() {
    rows_ = test::clustered_rows(200, kDim, 7);
    AtomicFile writing(file_);
    build_annoy(writing, rows_.view(), {.num_trees = 3});
    writing.commit();
    good_ = read_file(file_);
  }
  std::shared_ptr<const AnnoyIndex> open(std::size_t dim = kDim) const {
    return AnnoyIndex::open(file_, dim, rows_.ids);
  }
  std::string corruption_with(std::string_view bytes) {
    write_bytes(file_, bytes);
    return corruption_of([this] { open(); });
  }

  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "a.ann";
  test::Rows rows_;
  std::string good_;
  AnnoyLayout layout_{kDim};
};

TEST_F(AnnoyDamage, FlippedBitsOfTheStructureAreFound) {
  for (std::size_t node = 0; node < good_.size() / layout_.node_bytes; ++node) {
    const std::size_t at = node * layout_.node_bytes;
    const auto descendants = static_cast<std::size_t>(
        annoy_descendants(reinterpret_cast<const std::byte*>(good_.data()) + at));
    const bool is_item = node < rows_.size();
    const std::size_t bytes =
        is_item ? 4 : 4 + 4 * (descendants > layout_.leaf_capacity ? 2 : descendants);
    for (std::size_t bit = node % 5; bit < 8 * bytes; bit += 5) {  // every place of a byte comes up
      // The original of the last root is skipped by every reader; only its copy is walked.
      write_bytes(file_, flipped(good_, at + bit / 8, bit % 8));
      try {
        const auto index = open();
        EXPECT_EQ(index->search(rows_.row(5), {.k = 3, .recall = 1.0}).neighbors,
                  exact_search(rows_.view(), rows_.row(5), {.k = 3}).neighbors);
        EXPECT_FALSE(is_item);
        EXPECT_EQ(descendants, rows_.size()) << "node " << node << " bit " << bit;
      } catch (const CorruptData&) {
        SUCCEED();
      }
    }
  }
}

TEST_F(AnnoyDamage, CutsAndAddedBytesAreRefused) {
  corruption_with("");
  for (std::size_t size = layout_.node_bytes; size < good_.size(); size += layout_.node_bytes) {
    // At the border of a node, where the library itself notices nothing. Without the copies of
    // roots the originals could serve: the last one alone is a whole tree.
    write_bytes(file_, good_.substr(0, size));
    try {
      const auto index = open();
      EXPECT_EQ(annoy_descendants(reinterpret_cast<const std::byte*>(good_.data()) + size -
                                  layout_.node_bytes),
                static_cast<std::int32_t>(rows_.size()));
      EXPECT_EQ(index->search(rows_.row(5), {.k = 200, .index_only = true}).neighbors.size(), 200U);
    } catch (const CorruptData&) {
      SUCCEED();
    }
  }
  for (std::size_t size = 1; size < good_.size(); size += 977) {
    if (size % layout_.node_bytes != 0) corruption_with(good_.substr(0, size));
  }
  corruption_with(good_ + 'x');
  corruption_with(good_ + std::string(layout_.node_bytes, '\0'));
  corruption_with(good_ + good_);
}

TEST_F(AnnoyDamage, RandomContentOfTheRightSizeIsRefused) {
  std::mt19937 random(1);
  std::string noise(good_.size(), '\0');
  for (char& value : noise) value = static_cast<char>(random());
  corruption_with(noise);
  corruption_with(std::string(good_.size(), '\0'));
}

TEST_F(AnnoyDamage, RandomDamageNeverCrashes) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    std::string bytes = good_;
    for (unsigned i = 0; i < 1 + random() % 8; ++i)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    write_bytes(file_, bytes);
    try {
      const auto index = open();
      EXPECT_LE(index->search(rows_.row(9), {.k = 20, .index_only = true}).neighbors.size(), 20U);
    } catch (const CorruptData&) {
      SUCCEED();
    }
  }
}

TEST_F(AnnoyDamage, CyclesAreRefused) {
  const std::size_t last = good_.size() / layout_.node_bytes - 1;
  const std::size_t child = last * layout_.node_bytes + 4;
  corruption_with(with_value(good_, child, static_cast<std::int32_t>(last)));
  corruption_with(with_value(good_, child, std::int32_t{-1}));
  corruption_with(with_value(good_, child, std::numeric_limits<std::int32_t>::max()));
}

TEST_F(AnnoyDamage, ValuesThatAreNotFiniteAreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  corruption_with(with_value(good_, 3 * layout_.node_bytes + 12, nan));
  corruption_with(with_value(good_, good_.size() - 4, nan));
}

TEST_F(AnnoyDamage, AnotherDimensionOrCountIsRefused) {
  for (std::size_t dim = 1; dim < 200; ++dim) {
    if (dim == kDim) continue;
    EXPECT_THROW(open(dim), CorruptData) << dim;
  }
  for (const std::size_t count :
       {std::size_t{0}, std::size_t{1}, std::size_t{199}, std::size_t{201}}) {
    std::vector<VectorId> ids(count);
    EXPECT_THROW(AnnoyIndex::open(file_, kDim, ids), CorruptData) << count;
  }
}

TEST_F(AnnoyDamage, AFileCutWhileOpenIsNoticed) {
  const auto index = open();
  index->search(rows_.row(0), {});
  std::filesystem::resize_file(file_, 100);
  corruption_of([&] { index->search(rows_.row(0), {}); });
}

class ForeignFiles : public testing::TestWithParam<Backend> {};

TEST_P(ForeignFiles, AreNamed) {
  const test::TemporaryFolder folder;
  const auto file = folder / "some.index";
  const std::vector<std::pair<std::string, std::string>> foreign{
      {"SQLite format 3" + std::string(2000, '\0'), "an SQLite database"},
      {"{\"id_map\": []}", "JSON text"},
      {"IxF2" + std::string(500, '\1'), "a FAISS flat L2 index"},
      {"IHNs" + std::string(500, '\1'), "a FAISS HNSW index over codes"},
      {std::string("\x93NUMPY\x01\x00", 8), "a NumPy array"},
  };
  for (const auto& [bytes, name] : foreign) {
    write_bytes(file, bytes);
    const std::string message =
        corruption_of([&] { open_backend_file(GetParam(), file, 4, {VectorId{1}}); });
    EXPECT_THAT(message, HasSubstr(name));
    EXPECT_EQ(describe_file(file), name);
  }
}

TEST_P(ForeignFiles, OfAnotherBackendAreNamed) {
  const test::TemporaryFolder folder;
  const auto file = folder / "some.index";
  const test::Rows rows = test::clustered_rows(50, 4, 1);
  if (GetParam() != Backend::kFlat) {
    build_backend_file(Backend::kFlat, rows.view(), file);
    EXPECT_THAT(corruption_of([&] { open_backend_file(GetParam(), file, 4, rows.ids); }),
                HasSubstr("a nearlite segment"));
  }
}

TEST_P(ForeignFiles, EmptyAndRandomOnesAreRefused) {
  const test::TemporaryFolder folder;
  const auto file = folder / "some.index";
  std::mt19937 random(3);
  for (std::size_t size : {0U, 1U, 4U, 28U, 45U, 61U, 90U, 4096U, 70'000U}) {
    std::string bytes(size, '\0');
    for (char& value : bytes) value = static_cast<char>(random());
    write_bytes(file, bytes);
    corruption_of([&] { open_backend_file(GetParam(), file, 4, {VectorId{1}}); });
  }
}

std::string name_of_backend(const testing::TestParamInfo<Backend>& test) {
  return std::string(backend_name(test.param));
}
INSTANTIATE_TEST_SUITE_P(All, ForeignFiles, testing::Values(Backend::kAnnoy, Backend::kFlat),
                         name_of_backend);

#ifdef NEARLITE_TEST_FAISS
INSTANTIATE_TEST_SUITE_P(Plugin, ForeignFiles, testing::Values(Backend::kFaiss), name_of_backend);
#endif

}  // namespace
}  // namespace nearlite
