#include "vector_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/id_set.h"
#include "nearlite/store/lease.h"
#include "nearlite_test/temporary_folder.h"
#include "publication.h"

namespace nearlite {
namespace {

/// How often a test does what it does: `usual`, or what the environment asks for (./dev test
/// --long).
std::size_t times(const char* name, std::size_t usual) {
  const char* wanted = std::getenv(name);
  return wanted == nullptr ? usual : std::stoul(wanted);
}

using testing::ElementsAreArray;
using testing::SizeIs;

constexpr std::size_t kDim = 12;

/// An engine over random vectors, and beside it a plain map of what it must hold.
class EngineTest : public testing::Test {
 protected:
  EngineSettings settings(Backend backend = Backend::kAuto) const {
    EngineSettings settings;
    settings.sidecar = folder_ / "s.sqlite";
    settings.index = folder_ / "s.index";
    settings.metadata = folder_ / "s.json";
    settings.store = "s";
    settings.backend = backend;
    settings.limits = {.whole_up_to = 100, .seal_from = 40, .later_segments = 3};
    return settings;
  }

  void add(VectorEngine& engine, std::size_t count) {
    std::normal_distribution<float> normal;
    engine.write([&](Sidecar& sidecar) {
      const std::int64_t model = model_of(sidecar);
      for (std::size_t i = 0; i < count; ++i) {
        std::vector<float> vector(kDim);
        for (float& value : vector) value = normal(random_);
        const std::string key = std::to_string(next_key_++);
        const std::vector<PassageWrite> passages{{.vector = vector}};
        const auto slots =
            sidecar.put_record({.key = {"s", "", key}, .model = model, .passages = passages});
        held_[VectorId{slots.at(0)}] = {key, vector};
      }
    });
  }

  void remove(VectorEngine& engine, std::size_t count) {
    engine.write([&](Sidecar& sidecar) {
      for (std::size_t i = 0; i < count && !held_.empty(); ++i) {
        auto row = held_.begin();
        std::advance(row, static_cast<std::ptrdiff_t>(random_() % held_.size()));
        sidecar.remove_record({"s", "", row->second.key});
        held_.erase(row);
      }
    });
  }

  std::size_t num_segments(VectorEngine& engine) const {
    std::size_t count = 0;
    engine.read([&](Sidecar& sidecar) { count = segments_of(sidecar, "s").size(); });
    return count;
  }

  /// The engine answers as a plain scan of the map does.
  void expect_right(VectorEngine& engine, const SearchParams& params = {.k = 10, .recall = 1.0}) {
    std::vector<VectorId> ids;
    std::vector<float> values;
    for (const auto& [id, row] : held_) {
      ids.push_back(id);
      values.insert(values.end(), row.vector.begin(), row.vector.end());
    }
    std::normal_distribution<float> normal;
    std::vector<float> queries(3 * kDim);
    for (float& value : queries) value = normal(random_);
    const auto together = engine.search_batch(queries, params);
    for (std::size_t i = 0; i < 3; ++i) {
      const auto query = std::span(queries).subspan(i * kDim, kDim);
      const auto expected = exact_search({ids, values, kDim}, query, params).neighbors;
      EXPECT_THAT(engine.search(query, params).neighbors, ElementsAreArray(expected));
      EXPECT_THAT(together.at(i).neighbors, ElementsAreArray(expected));
    }
  }

  std::filesystem::path segment_file(VectorEngine& engine, std::size_t which) const {
    std::filesystem::path file;
    engine.read([&](Sidecar& sidecar) {
      file = folder_ / "s.vec" / segments_of(sidecar, "s").at(which).file;
    });
    return file;
  }

  static void flip(const std::filesystem::path& file, std::uintmax_t at) {
    std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekg(static_cast<std::streamoff>(at));
    const auto byte = static_cast<char>(stream.get() ^ 0x10);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(byte);
  }

  struct Row {
    std::string key;
    std::vector<float> vector;
  };
  TemporaryFolder temporary_{FolderPlace::kMemory};
  std::filesystem::path folder_ = temporary_.path();
  std::mt19937 random_{7};
  std::size_t next_key_ = 1;
  std::map<VectorId, Row> held_;

 private:
  static std::int64_t model_of(Sidecar& sidecar) {
    const std::int64_t model =
        sidecar.put_model("s", {.name = "m", .identity = "m-1", .dim = kDim, .text_template = "t"});
    sidecar.set_fact("s", "model", std::to_string(model));
    return model;
  }
};

TEST_F(EngineTest, NewRowsOfALargeStoreGetSegmentsOfTheirOwn) {
  VectorEngine engine(settings());
  add(engine, 2000);
  engine.publish(PublishRule::kWhenItPays);
  EXPECT_EQ(num_segments(engine), 1U);
  add(engine, 39);
  EXPECT_FALSE(engine.publish(PublishRule::kWhenItPays));  // few enough to hold in memory
  add(engine, 1);
  EXPECT_TRUE(engine.publish(PublishRule::kWhenItPays));
  EXPECT_EQ(num_segments(engine), 2U);
  remove(engine, 30);
  add(engine, 5);
  expect_right(engine);
  VectorEngine other(settings());
  expect_right(other);
  EXPECT_EQ(other.view().snapshot->delta().num_rows, 5U);
}

TEST_F(EngineTest, ManySmallSegmentsBecomeOneAndAllOfThemInTime) {
  VectorEngine engine(settings());
  add(engine, 4000);
  engine.publish(PublishRule::kWhenItPays);
  std::vector<std::size_t> counts;
  for (int round = 0; round < 12; ++round) {
    add(engine, 43);
    remove(engine, 3);
    engine.publish(PublishRule::kWhenItPays);
    counts.push_back(num_segments(engine));
    expect_right(engine);
  }
  // Appended up to three, merged, appended again; and whole when more than a tenth changed.
  EXPECT_THAT(counts, testing::ElementsAre(2, 3, 4, 2, 3, 4, 2, 3, 4, 1, 2, 3));
  // No file is left of those that were merged.
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "s.vec"))
    files += entry.path().extension() == ".vecs" ? 1 : 0;
  EXPECT_EQ(files, num_segments(engine));
}

TEST_F(EngineTest, DamageOfAnySegmentCostsNoAnswer) {
  VectorEngine writer(settings());
  add(writer, 2000);
  writer.publish(PublishRule::kWhenItPays);
  add(writer, 60);
  writer.publish(PublishRule::kWhenItPays);
  add(writer, 60);
  writer.publish(PublishRule::kWhenItPays);
  remove(writer, 20);
  ASSERT_EQ(num_segments(writer), 3U);
  for (const std::size_t which : {std::size_t{1}, std::size_t{2}, std::size_t{0}}) {
    const auto file = segment_file(writer, which);
    flip(file, std::filesystem::file_size(file) / 2);
    VectorEngine reader(settings());
    expect_right(reader);
    expect_right(writer);  // has it open
    EXPECT_THAT(reader.verify_derived(), SizeIs(which == 0 ? 3 : which));
  }
  writer.publish(PublishRule::kAlways);
  EXPECT_THAT(writer.verify_derived(), SizeIs(0));
  EXPECT_EQ(num_segments(writer), 1U);
  expect_right(writer);
}

TEST_F(EngineTest, SegmentsThatAreGoneOrCutCostNoAnswer) {
  VectorEngine writer(settings());
  add(writer, 1500);
  writer.publish(PublishRule::kWhenItPays);
  add(writer, 60);
  writer.publish(PublishRule::kWhenItPays);
  VectorEngine reader(settings());
  expect_right(reader);
  std::filesystem::resize_file(segment_file(writer, 0), 5000);
  expect_right(reader);
  std::filesystem::remove(segment_file(writer, 1));
  VectorEngine late(settings());
  expect_right(late);
  late.publish(PublishRule::kWhenItPays);
  EXPECT_THAT(late.verify_derived(), SizeIs(0));
}

TEST_F(EngineTest, TheGraphAnswersAndItsDamageCostsNoAnswer) {
  VectorEngine engine(settings(Backend::kGraph));
  add(engine, 1200);
  engine.publish(PublishRule::kWhenItPays);
  add(engine, 30);
  remove(engine, 100);
  const SearchParams by_index{.k = 5, .recall = 0.9, .index_only = true};
  const std::vector<float> query(kDim, 1.0F);
  EXPECT_EQ(engine.search(query, by_index).path, "graph");
  expect_right(engine);
  flip(folder_ / "s.index", std::filesystem::file_size(folder_ / "s.index") / 2);
  VectorEngine late(settings(Backend::kGraph));
  for (int i = 0; i < 20; ++i) late.search(query, by_index);
  EXPECT_EQ(late.search(query, by_index).neighbors.size(), 5U);
  expect_right(late);
  EXPECT_THAT(late.verify_derived(), SizeIs(1));
  late.publish(PublishRule::kWhenItPays);
  EXPECT_THAT(late.verify_derived(), SizeIs(0));
}

TEST_F(EngineTest, KeepsToItsMemoryBudgetAndAnswersAllTheSame) {
  EngineSettings how = settings(Backend::kGraph);
  how.memory = std::make_shared<MemoryBudget>(std::uint64_t{64} << 20);
  VectorEngine engine(how);
  add(engine, 3000);
  engine.publish(PublishRule::kAlways);
  add(engine, 30);
  const SearchParams by_index{.k = 5, .recall = 0.9, .index_only = true};
  const std::vector<float> query(kDim, 1.0F);
  EXPECT_EQ(engine.search(query, by_index).path, "graph");
  expect_right(engine);
  auto used = how.memory->used_by_kind();
  EXPECT_GT(used.at("indexes"), 3000U * kDim);
  EXPECT_GT(used.at("maps"), 3000U * kDim / 2);
  EXPECT_EQ(used.at("rows"), 30 * (kDim * 4 + 8 + 4));
  EXPECT_GT(used.at("pages"), 0U);
  {
    // Somebody else needs nearly all of it: graph and pages of the segment go.
    MemoryBudget::Share other(how.memory, "other");
    ASSERT_TRUE(
        other.resize(how.memory->limit_bytes() - used.at("rows") - used.at("pages") - 4096));
    used = how.memory->used_by_kind();
    EXPECT_EQ(used.at("indexes") + used.at("maps"), 0U);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(engine.search(query, by_index).path, "exact");
      expect_right(engine);
      EXPECT_LE(how.memory->used_bytes(), how.memory->limit_bytes() + 4096);
    }
    EXPECT_EQ(how.memory->used_by_kind().at("maps"), 0U);
  }
  EXPECT_EQ(engine.search(query, by_index).path, "graph");  // there is room again
  expect_right(engine);
}

TEST_F(EngineTest, AnIndexThatFindsLessThanItPromisedHasToLookAtMore) {
  EngineSettings how = settings(Backend::kAnnoy);
  how.audit_every = 1;
  VectorEngine engine(how);
  add(engine, 3000);
  engine.publish(PublishRule::kAlways);
  {
    Connection db = Connection::open(how.sidecar, false);
    db.execute(
        R"(UPDATE manifest SET calibration = '{"version":1,"efforts":[)"
        R"({"search_k":1,"recall":0.95,"recall_low":0.92,"microseconds":1},)"
        R"({"search_k":2000,"recall":0.99,"recall_low":0.97,"microseconds":2}]}' WHERE kind = 'index')");
  }
  const auto ask = [&](int times) {
    std::size_t scored = 0;
    for (int i = 0; i < times; ++i) {
      std::vector<float> query(kDim);
      for (float& value : query) value = std::normal_distribution<float>()(random_);
      const auto found = engine.search(query, {.k = 10, .recall = 0.9, .index_only = true});
      EXPECT_EQ(found.path, "annoy");
      scored += found.num_scored;
    }
    return scored;
  };
  const std::size_t at_first = ask(19);
  const ObservedRecall seen = engine.observed_recall();
  EXPECT_EQ(seen.searches, 19U);
  EXPECT_EQ(seen.wanted, 190U);
  EXPECT_LT(seen.value(), 0.9);  // the calibration that was written above is not true
  ask(1);
  EXPECT_EQ(engine.observed_recall().searches, 0U);  // of the greater effort, from now on
  EXPECT_GT(ask(19), 2 * at_first);
  EXPECT_GT(engine.observed_recall().value(), seen.value());
}

TEST_F(EngineTest, AnIndexFileOfSeveralStoresServesEachOfThem) {
  for (const Backend backend : {Backend::kGraph, Backend::kAnnoy}) {
    VectorEngine engine(settings(backend));
    add(engine, 300);
    engine.write([&](Sidecar& sidecar) {
      const std::int64_t model = sidecar.put_model(
          "other", {.name = "m", .identity = "m-1", .dim = kDim, .text_template = "t"});
      std::normal_distribution<float> normal;
      for (int i = 0; i < 300; ++i) {
        std::vector<float> vector(kDim);
        for (float& value : vector) value = normal(random_);
        const std::string key = std::to_string(i);
        const std::vector<PassageWrite> passages{{.vector = vector}};
        sidecar.put_record({.key = {"other", "", key}, .model = model, .passages = passages});
      }
    });
    add(engine, 300);
    engine.publish(PublishRule::kAlways);
    remove(engine, 30);
    add(engine, 10);
    const SearchParams by_index{.k = 8, .recall = 0.9, .index_only = true};
    std::size_t hits = 0;
    std::size_t by_path = 0;
    for (auto row = held_.begin(); row != held_.end(); ++row) {
      const auto found = engine.search(row->second.vector, by_index);
      EXPECT_EQ(found.neighbors.size(), 8U);
      for (const Neighbor& neighbor : found.neighbors) EXPECT_TRUE(held_.contains(neighbor.id));
      hits += found.neighbors.front().id == row->first ? 1 : 0;
      by_path += found.path == backend_name(backend) ? 1 : 0;
    }
    EXPECT_GT(by_path, held_.size() / 2);  // exact where too few of the store were found
    EXPECT_GT(hits, held_.size() * 9 / 10);
    expect_right(engine);
  }
}

TEST_F(EngineTest, ReadersSeeOneWholeGenerationWhileFilesAreSwapped) {
  VectorEngine writer(settings(Backend::kGraph));
  add(writer, 400);
  writer.publish(PublishRule::kAlways);
  std::vector<VectorId> ids;
  std::vector<float> values;
  for (const auto& [id, row] : held_) {
    ids.push_back(id);
    values.insert(values.end(), row.vector.begin(), row.vector.end());
  }
  const auto expected = exact_search({ids, values, kDim}, held_.begin()->second.vector, {});
  std::atomic<bool> done{false};
  std::atomic<std::size_t> wrong{0};
  std::atomic<std::size_t> answered{0};
  std::vector<std::jthread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      VectorEngine reader(settings(Backend::kGraph));
      while (!done) {
        const auto found = reader.search(held_.begin()->second.vector, {.recall = 1.0});
        wrong += found.neighbors != expected.neighbors ? 1 : 0;
        ++answered;
      }
    });
  }
  const std::size_t swaps = times("NEARLITE_TEST_SWAPS", 25);
  for (std::size_t i = 0; i < swaps; ++i) writer.publish(PublishRule::kAlways);
  done = true;
  readers.clear();
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(answered, 0U);
}

TEST_F(EngineTest, ManyWritersAndReadersLoseNothing) {
  constexpr std::size_t kWriters = 8;
  constexpr std::size_t kReaders = 32;
  const std::size_t num_rounds = times("NEARLITE_TEST_ROUNDS", 5);
  {
    VectorEngine first(settings());
    add(first, 1);
  }
  std::atomic<bool> done{false};
  std::atomic<std::size_t> failed{0};
  std::vector<std::jthread> readers;
  for (std::size_t i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      VectorEngine reader(settings());
      std::size_t last = 0;
      const std::vector<float> query(kDim, 1.0F);
      do {
        try {
          const std::size_t now = reader.search(query, {.k = 100'000}).neighbors.size();
          failed += now < last ? 1 : 0;  // what was seen once is never gone again
          last = now;
        } catch (const Error&) {
          ++failed;
        }
      } while (!done);
    });
  }
  std::vector<std::jthread> writers;
  for (std::size_t i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      VectorEngine writer(settings());
      for (std::size_t round = 0; round < num_rounds; ++round) {
        try {
          writer.write([&](Sidecar& sidecar) {
            const auto model = std::stoll(sidecar.fact("s", "model").value_or("0"));
            const std::vector<float> vector(kDim, static_cast<float>(i + 1));
            const std::string key = std::to_string(100'000 * (i + 1) + round);
            const std::vector<PassageWrite> passages{{.vector = vector}};
            sidecar.put_record({.key = {"s", "", key}, .model = model, .passages = passages});
          });
          if (round % 50 == 2) writer.publish(PublishRule::kWhenItPays);
        } catch (const Error&) {
          ++failed;
        }
      }
    });
  }
  writers.clear();
  done = true;
  readers.clear();
  EXPECT_EQ(failed, 0U);
  VectorEngine late(settings());
  EXPECT_EQ(late.search(std::vector<float>(kDim, 1.0F), {.k = 100'000}).neighbors.size(),
            1 + kWriters * num_rounds);
  EXPECT_THAT(late.verify_derived(), SizeIs(0));
}

TEST_F(EngineTest, ARunThatWasOvertakenCannotPublish) {
  VectorEngine engine(settings());
  add(engine, 200);
  engine.publish(PublishRule::kAlways);
  const EngineSettings how = settings();
  Sidecar sidecar(how.sidecar, {});
  const ModelGeneration model = sidecar.models("s").back();
  Publication slow(sidecar, how, model, folder_ / "s.vec");
  ASSERT_TRUE(slow.plan(PublishRule::kAlways, false));
  add(engine, 20);
  engine.publish(PublishRule::kAlways);
  const auto newest = segment_file(engine, 0);
  const std::string before = read_file(newest);
  slow.build();
  EXPECT_THROW(slow.commit(), Unavailable);
  EXPECT_EQ(segment_file(engine, 0), newest);
  EXPECT_EQ(read_file(newest), before);
  expect_right(engine);
}

/// What a process does that is stopped between building and publishing: 3 if it could then neither
/// write under its lease nor publish.
int stopped_writer(const EngineSettings& how, const std::filesystem::path& folder) {
  int refused = 0;
  Sidecar sidecar(how.sidecar, {});
  Lease lease(sidecar, "s", std::chrono::milliseconds{0});
  Sidecar publishing(how.sidecar, {});
  const ModelGeneration model = publishing.models("s").back();
  Publication slow(publishing, how, model, folder);
  if (!slow.plan(PublishRule::kAlways, false)) return 8;
  slow.build();
  std::raise(SIGSTOP);
  try {
    Transaction transaction = sidecar.begin();
    lease.renew(sidecar);
  } catch (const Unavailable&) {
    refused |= 1;
  }
  try {
    slow.commit();
  } catch (const Unavailable&) {
    refused |= 2;
  }
  return refused;
}

TEST_F(EngineTest, AProcessThatWasStoppedAndLostItsLeaseCanNeitherWriteNorPublish) {
  {
    VectorEngine engine(settings());
    add(engine, 200);
    engine.publish(PublishRule::kAlways);
  }
  const pid_t child = ::fork();  // no connection is open
  if (child == 0) {
    int code = 9;
    try {
      code = stopped_writer(settings(), folder_ / "s.vec");
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  {
    // As if it ran on another host, and nothing had been heard of it for long.
    Connection db = Connection::open(settings().sidecar, false);
    db.execute("UPDATE lease SET host = 'elsewhere', heartbeat_at = '2020-01-01T00:00:00Z'");
  }
  Sidecar sidecar(settings().sidecar, {});
  const Lease taken(sidecar, "s", std::chrono::milliseconds{0});
  VectorEngine engine(settings());
  add(engine, 20);
  engine.publish(PublishRule::kAlways);
  const std::string before = read_file(segment_file(engine, 0));
  ::kill(child, SIGCONT);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_EQ(read_file(segment_file(engine, 0)), before);
  expect_right(engine);
  EXPECT_THAT(engine.verify_derived(), SizeIs(0));
}

TEST_F(EngineTest, AQueryOfAnotherSizeIsRefused) {
  VectorEngine engine(settings());
  EXPECT_TRUE(engine.search(std::vector<float>(3, 1.0F), {}).neighbors.empty());  // nothing stored
  add(engine, 3);
  EXPECT_THROW(engine.search(std::vector<float>(2 * kDim, 1.0F), {}), InvalidArgument);
  EXPECT_THROW(engine.search_batch(std::vector<float>(kDim + 1, 1.0F), {}), InvalidArgument);
}

TEST_F(EngineTest, ARandomHistoryOfAddsRemovesAndMergesIsAnsweredAsAPlainMap) {
  VectorEngine one(settings());
  VectorEngine two(settings());
  add(one, 600);
  const std::size_t steps = times("NEARLITE_TEST_STEPS", 120);
  // Else the store grows with every step, and with it what each step is compared with.
  constexpr std::size_t kMostHeld = 1500;
  for (std::size_t step = 0; step < steps; ++step) {
    VectorEngine& engine = random_() % 2 == 0 ? one : two;
    switch (random_() % 5) {
      case 0:
        remove(engine, random_() % (held_.size() > kMostHeld ? 100 : 20));
        break;
      case 1:
        engine.publish(PublishRule::kWhenItPays);
        break;
      default:
        add(engine, random_() % 30);
    }
    expect_right(random_() % 2 == 0 ? one : two, {.k = 1 + random_() % 30, .recall = 1.0});
  }
}

}  // namespace
}  // namespace nearlite
