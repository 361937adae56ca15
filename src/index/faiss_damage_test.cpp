// A FAISS file of anybody, with anything in it, is refused or searched to an end: FAISS itself
// would believe every count and link.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <random>

#include "faiss_format.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/faiss_index.h"
#include "test_damage.h"
#include "test_vectors.h"

namespace nearlite {
namespace {

using test::corruption_of;
using test::flipped;
using test::write_bytes;
using testing::HasSubstr;

template <typename T>
std::string with_value(std::string bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

std::size_t int_of(std::string_view bytes, std::size_t at) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return static_cast<std::size_t>(value);
}

/// The same index with a map of ids around it, as IndexIDMap writes it.
std::string with_ids(const std::string& index, std::span<const std::int64_t> ids) {
  constexpr std::size_t kHeader = 33;
  std::string bytes = "IxMp" + index.substr(4, kHeader) + index;
  const std::uint64_t count = ids.size();
  bytes.append(reinterpret_cast<const char*>(&count), sizeof count);
  bytes.append(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
  return bytes;
}

#ifdef NEARLITE_TEST_FAISS
class FaissDamage : public testing::Test {
 protected:
  std::string file_of(const test::Rows& rows, std::size_t hnsw_from) {
    build_backend_file(Backend::kFaiss, rows.view(), file_, {.faiss_hnsw_from = hnsw_from});
    return read_file(file_);
  }
  /// Refused, or opened and searched: answers are finite and of stored ids.
  bool use(std::string_view bytes) {
    write_bytes(file_, bytes);
    try {
      const auto index = FaissIndex::open(plugin_, file_);
      const std::vector<float> query(index->dim(), 1.0F);
      // A graph is walked with a small effort, and scanned; calibrating it each time would take
      // long.
      std::vector<Neighbor> found = index->search(query, {.k = 5, .recall = 1.0}).neighbors;
      if (index->is_graph())
        std::ranges::copy(index->search_with_effort(query, {.k = 5}, 3).neighbors,
                          std::back_inserter(found));
      for (const Neighbor& neighbor : found) EXPECT_TRUE(std::isfinite(neighbor.similarity));
      return true;
    } catch (const CorruptData&) {
      return false;
    }
  }

  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "a.faiss";
  std::shared_ptr<const FaissPlugin> plugin_ = load_faiss_plugin();
};

TEST_F(FaissDamage, EveryFlippedBitOfTheHeaderIsFound) {
  const test::Rows rows = test::clustered_rows(50, 8, 1);
  const std::string good = file_of(rows, 1000);
  const auto open = [&] { open_backend_file(Backend::kFaiss, file_, 8, rows.ids); };
  for (std::size_t bit = 0; bit < 8 * 45; ++bit) {
    if (bit / 8 >= 16 && bit / 8 < 32) continue;  // two numbers that FAISS writes and nobody reads
    write_bytes(file_, flipped(good, bit / 8, bit % 8));
    corruption_of(open);
  }
  for (std::size_t size = 0; size < good.size(); size += 13) {
    write_bytes(file_, good.substr(0, size));
    corruption_of(open);
  }
  write_bytes(file_, good + 'x');
  corruption_of(open);
  for (const std::uint64_t count :
       {std::uint64_t{0}, std::uint64_t{1} << 40, std::uint64_t{1} << 62,
        std::numeric_limits<std::uint64_t>::max()}) {
    write_bytes(file_, with_value(good, 37, count));
    corruption_of(open);
    write_bytes(file_, with_value(good, 8, count));
    corruption_of(open);
  }
  write_bytes(file_, with_value(good, 45, std::numeric_limits<float>::quiet_NaN()));
  corruption_of(open);
}

TEST_F(FaissDamage, ThousandsOfFlipsAndCutsEndNoProcess) {
  const test::Rows rows = test::clustered_rows(120, 6, 2);
  std::vector<std::int64_t> ids(rows.size());
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = 1000 - static_cast<std::int64_t>(i);
  const std::string flat = file_of(rows, 1000);
  const std::string graph = file_of(rows, 0);
  std::mt19937 random(20261130);
  for (const std::string& good : {flat, graph, with_ids(flat, ids), with_ids(graph, ids)}) {
    EXPECT_TRUE(use(good));
    std::size_t refused = 0;
    for (int round = 0; round < 2500; ++round) {
      std::string bad = good;
      const unsigned kind = random() % 4;
      if (kind == 0) {
        bad.resize(random() % bad.size());
        EXPECT_FALSE(use(bad)) << "cut to " << bad.size();
      }
      for (unsigned flips = kind == 0 ? 0 : 1U << (random() % 4); flips > 0; --flips)
        bad = flipped(std::move(bad), random() % bad.size(), random() % 8);
      // A number of 4 bytes that is likely to hurt.
      if (kind == 3) {
        constexpr std::int32_t kValues[] = {-1, 0, 1, 119, 120, INT32_MAX, INT32_MIN, 1 << 20};
        bad = with_value(bad, random() % (bad.size() - 4), kValues[random() % 8]);
      }
      refused += kind != 0 && !use(bad);
    }
    EXPECT_GT(refused, 100U);
  }
}

TEST_F(FaissDamage, EveryByteOfAGraphWithEveryValueThatHurts) {
  const std::string good = file_of(test::clustered_rows(40, 2, 3), 0);
  // Everything before the links; of those and of the values, which are many and alike, some.
  for (std::size_t at = 0; at + 8 <= good.size(); at += at < 600 ? 4 : 68) {
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{40}, std::uint64_t{INT32_MAX},
                                      ~std::uint64_t{0}, std::uint64_t{1} << 61}) {
      use(with_value(good, at, value));
      use(with_value(good, at, static_cast<std::uint32_t>(value)));
    }
  }
}

TEST_F(FaissDamage, LinksThatLeaveTheirLevelAreNamed) {
  const std::string good = file_of(test::clustered_rows(60, 4, 4), 0);
  // "IHNf", header, then the lists: probabilities, places, levels, offsets, links.
  std::size_t at = 4 + 33;
  at += 8 + int_of(good, at) * 8;
  at += 8 + int_of(good, at) * 4;
  at += 8 + int_of(good, at) * 4;
  at += 8 + int_of(good, at) * 8;
  const std::size_t links = at + 8;
  const auto open = [this] { FaissIndex::open(plugin_, file_); };
  for (const std::int32_t wrong : {60, -2, INT32_MAX}) {
    write_bytes(file_, with_value(good, links, wrong));
    EXPECT_THAT(corruption_of(open), HasSubstr("leads to row " + std::to_string(wrong)));
  }
}

TEST_F(FaissDamage, FilesOfAnotherKindAreNamed) {
  const test::Rows rows = test::clustered_rows(20, 4, 5);
  const std::string good = file_of(rows, 1000);
  const auto open = [this] { FaissIndex::open(plugin_, file_); };
  for (const char* mark : {"IxF2", "IwFl", "IxPq", "IHNs", "ilar"}) {
    write_bytes(file_, mark + good.substr(4));
    EXPECT_THAT(corruption_of(open), HasSubstr("IndexFlatIP")) << mark;
  }
  write_bytes(file_, with_ids(good, std::vector<std::int64_t>(20, 7)));
  EXPECT_THAT(corruption_of(open), HasSubstr("id 7 twice"));
  write_bytes(file_, with_ids(with_ids(good, std::vector<std::int64_t>(20, 7)),
                              std::vector<std::int64_t>(20, 7)));
  EXPECT_THAT(corruption_of(open), HasSubstr("IndexFlatIP"));
}

TEST_F(FaissDamage, TheIdsOfAMapAreThoseOfTheAnswers) {
  const test::Rows rows = test::clustered_rows(30, 4, 6);
  std::vector<std::int64_t> ids(rows.size());
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = 500 - static_cast<std::int64_t>(i);
  for (const std::size_t hnsw_from : {std::size_t{0}, std::size_t{1000}}) {
    write_bytes(file_, with_ids(file_of(rows, hnsw_from), ids));
    const auto index = FaissIndex::open(plugin_, file_);
    EXPECT_EQ(index->search(rows.row(3), {.k = 1}).neighbors[0].id, VectorId{497});
  }
}
#endif

}  // namespace
}  // namespace nearlite
