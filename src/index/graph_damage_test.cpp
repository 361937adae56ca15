// A graph file that is damaged, foreign or hostile is refused with CorruptData or still right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

#include "graph_format.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/graph_index.h"
#include "test_damage.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using test::corruption_of;
using test::flipped;
using test::write_bytes;
using testing::HasSubstr;

class GraphDamage : public testing::Test {
 protected:
  GraphDamage() {
    rows_ = test::clustered_rows(900, 20, 7);
    AtomicFile writing(file_);
    build_graph_file(writing, rows_.view(), {.generation = 3, .model_identity = "m", .dim = 20});
    writing.commit();
    good_ = read_file(file_);
  }
  std::shared_ptr<const GraphIndex> open() const { return GraphIndex::open(file_, rows_.ids); }
  std::string corruption_with(std::string_view bytes) {
    write_bytes(file_, bytes);
    return corruption_of([this] { open()->verify(); });
  }
  /// Where a section is.
  SectionEntry entry_of(GraphSection kind) const {
    BlockFileHeader header;
    std::memcpy(&header, good_.data(), sizeof header);
    for (std::uint32_t i = 0; i < header.num_sections; ++i) {
      SectionEntry entry;
      std::memcpy(&entry, good_.data() + sizeof header + i * sizeof entry, sizeof entry);
      if (entry.kind == static_cast<std::uint32_t>(kind)) return entry;
    }
    ADD_FAILURE() << "no section " << static_cast<std::uint32_t>(kind);
    return {};
  }
  /// One value changed and every checksum made right again: what a hostile file looks like.
  template <typename T>
  std::string with_true_checksums(GraphSection kind, std::size_t index, T value) const {
    std::string bytes = good_;
    std::memcpy(bytes.data() + entry_of(kind).offset + index * sizeof(T), &value, sizeof value);
    return test::with_right_checksums(bytes);
  }

  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "a.graph";
  test::Rows rows_;
  std::string good_;
};

TEST_F(GraphDamage, IsFoundWhereverABitFlips) {
  std::mt19937 random(5);
  for (int i = 0; i < 150; ++i) corruption_with(flipped(good_, random() % good_.size(), i % 8U));
}

TEST_F(GraphDamage, CutsAndAddedBytesAreRefused) {
  for (std::size_t size = 0; size < good_.size(); size += 4096)
    corruption_with(std::string_view(good_).substr(0, size));
  corruption_with(good_ + '\0');
}

TEST_F(GraphDamage, OfTheRowsIsFoundWhenTheyAreTouched) {
  const SectionEntry rows = entry_of(GraphSection::kRows);
  write_bytes(file_, flipped(good_, rows.offset + rows.bytes / 2, 3));
  const auto graph = open();
  corruption_of([&] {
    for (std::size_t i = 0; i < rows_.size(); ++i)
      graph->search(rows_.row(i), {.index_only = true});
  });
}

TEST_F(GraphDamage, RowsThatDoNotExistAreRefusedThoughTheChecksumIsRight) {
  const auto refused = [&](const std::string& bytes) { return corruption_with(bytes); };
  for (const std::uint32_t row : {900U, 1'000'000U, 0xFFFF'FFFEU}) {
    EXPECT_THAT(refused(with_true_checksums(GraphSection::kLinks, 5, row)),
                HasSubstr("does not exist"));
    EXPECT_THAT(refused(with_true_checksums(GraphSection::kEntries, 0, row)),
                HasSubstr("does not exist"));
    EXPECT_THAT(refused(with_true_checksums(GraphSection::kNextSame, 7, row)),
                HasSubstr("does not exist"));
  }
  EXPECT_THAT(refused(with_true_checksums(GraphSection::kNextSame, 7, std::uint32_t{7})),
              HasSubstr("goes back"));
  refused(with_true_checksums(GraphSection::kNorms, 3, std::numeric_limits<float>::quiet_NaN()));
  refused(with_true_checksums(GraphSection::kScales, 3, -1.0F));
  refused(with_true_checksums(GraphSection::kIds, 3, std::int64_t{1}));
  refused(with_true_checksums(GraphSection::kLevels, 0, std::uint32_t{901}));
  refused(with_true_checksums(GraphSection::kLevels, 1, std::uint32_t{0xFFFF'FFFF}));
  refused(with_true_checksums(GraphSection::kLevels, 2, std::uint32_t{0xFFFF'FFFF}));
  refused(with_true_checksums(GraphSection::kCalibration, 0, 'x'));
}

TEST_F(GraphDamage, AnyLinksWithinTheFileAreWalkedToAnEnd) {
  std::mt19937 random(8);
  std::string bytes = good_;
  const SectionEntry links = entry_of(GraphSection::kLinks);
  for (std::size_t at = 0; at < links.bytes; at += 4) {
    const auto row = static_cast<std::uint32_t>(random() % rows_.size());
    std::memcpy(bytes.data() + links.offset + at, &row, sizeof row);
  }
  write_bytes(file_, test::with_right_checksums(bytes));
  const auto graph = open();
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(graph->search(rows_.row(i), {.k = 5, .index_only = true}).neighbors.size(), 5U);
  }
}

TEST_F(GraphDamage, RandomBytesWithRightChecksumsNeverCrash) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::string bytes = good_;
    // Behind the header, whose hash would otherwise hide the rest.
    for (int i = 0; i < 8; ++i)
      bytes[384 + random() % (bytes.size() - 384)] = static_cast<char>(random());
    write_bytes(file_, test::with_right_checksums(bytes));
    try {
      const auto graph = open();
      for (std::size_t i = 0; i < 3; ++i) graph->search(rows_.row(i), {.index_only = true});
    } catch (const CorruptData&) {
      continue;  // as good
    }
  }
}

TEST_F(GraphDamage, AGraphOfSomebodyElseIsRefused) {
  EXPECT_THAT(corruption_of([&] { GraphIndex::open(file_, std::span(rows_.ids).subspan(1)); }),
              HasSubstr("other ids"));
  const auto refuse = [&](const SegmentExpectation& expectation) {
    return corruption_of([&] { GraphIndex::open(file_, rows_.ids, expectation); });
  };
  EXPECT_THAT(refuse({.generation = 4}), HasSubstr("generation 3"));
  EXPECT_THAT(refuse({.model_identity = "other"}), HasSubstr("model 'm'"));
  EXPECT_THAT(refuse({.dim = 384}), HasSubstr("dimension 20"));
  EXPECT_THAT(corruption_of([&] { Segment::open(file_); }), HasSubstr("not a segment file"));
  EXPECT_EQ(describe_file(file_), "a nearlite graph");
  EXPECT_THAT(corruption_of([&] { open_backend_file(Backend::kAnnoy, file_, 20, rows_.ids); }),
              HasSubstr("is a nearlite graph"));
}

TEST_F(GraphDamage, AFileCutOrOverwrittenWhileOpenIsNoticed) {
  const auto graph = open();
  std::filesystem::resize_file(file_, 100);
  EXPECT_THAT(corruption_of([&] { graph->search(rows_.row(0), {.index_only = true}); }),
              HasSubstr("while it was open"));
}

}  // namespace
}  // namespace nearlite
