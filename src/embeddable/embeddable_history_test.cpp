// Long random histories, several objects, threads and processes on one store: nothing is lost and
// nothing is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "nearlite/base/error.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

Record body(const std::string& text) {
  Record record;
  record.set("body", text);
  return record;
}

std::string random_text(std::mt19937_64& random) {
  static constexpr std::array kWords = {"red",  "green", "blue",  "door",  "house",
                                        "tree", "lamp",  "stone", "river", "paper"};
  std::string text;
  for (std::size_t i = 0; i < 1 + random() % 5; ++i)
    text += std::string(kWords[random() % kWords.size()]) + " ";
  return text + std::to_string(random() % 1000);
}

float cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<float>(sum);
}

/// The store must hold exactly these texts, and answer as a scan over them does.
void expect_store_is(const NoteDB& notes, const std::map<std::int64_t, std::string>& embedded,
                     const std::string& question, std::size_t k) {
  std::vector<float> expected;
  const auto query = FakeEncoder::vector_of(question);
  for (const auto& [id, text] : embedded)
    expected.push_back(cosine(query, FakeEncoder::vector_of(text)));
  std::ranges::sort(expected, std::greater{});
  if (expected.size() > k) expected.resize(k);
  const auto hits = notes.search(question, k);
  ASSERT_EQ(hits.size(), expected.size());
  for (std::size_t i = 0; i < hits.size(); ++i) {
    EXPECT_NEAR(hits[i].similarity, expected[i], 1e-5);
    const auto found = embedded.find(std::stoll(hits[i].key.json));
    ASSERT_NE(found, embedded.end()) << "a hit that does not exist: " << hits[i].key.json;
    EXPECT_NEAR(hits[i].similarity, cosine(query, FakeEncoder::vector_of(found->second)), 1e-5);
  }
}

class RandomHistory : public NotesTest, public testing::WithParamInterface<int> {
 protected:
  void remove_some_derived_file(std::uint64_t choice) {
    if (choice % 3 == 0) std::filesystem::remove(file("notes.index"));
    if (choice % 3 == 1) std::filesystem::remove(file("notes.json"));
    if (choice % 3 == 2) std::filesystem::remove_all(file("notes.vec"));
  }
};

TEST_P(RandomHistory, KeepsWhatAPlainMapKeeps) {
  std::mt19937_64 random(static_cast<std::uint64_t>(GetParam()));
  std::map<std::int64_t, std::string> source;
  std::map<std::int64_t, std::string> embedded;
  auto one = std::make_unique<NoteDB>(db_.handle(), options());
  NoteDB two(db_.handle(), options());
  const char* wanted = std::getenv("NEARLITE_TEST_STEPS");
  const int steps = wanted == nullptr ? 150 : std::atoi(wanted);
  for (int step = 0; step < steps; ++step) {
    if (random() % 10 == 0) one = std::make_unique<NoteDB>(db_.handle(), options());
    NoteDB& notes = random() % 2 == 0 ? *one : two;
    const std::int64_t id = 1 + static_cast<std::int64_t>(random() % 30);
    switch (random() % 9) {
      case 0:
      case 1:
      case 2:
        note(id, source[id] = random_text(random));
        break;
      case 3:
        db_.prepare("DELETE FROM note WHERE id = ?1").run(id);
        source.erase(id);
        break;
      case 4: {
        const std::string text = random_text(random);
        note(id, source[id] = text);
        notes.add_embedding(id, body(text), "note");
        embedded[id] = text;
        break;
      }
      case 5:
        EXPECT_EQ(notes.remove_embedding(id), embedded.erase(id) == 1);
        break;
      case 6:
        notes.backfill_embeddings({.batch_size = 1 + random() % 20});
        embedded = source;
        break;
      case 7:
        notes.save_index();
        break;
      default:
        remove_some_derived_file(random());
    }
    ASSERT_NO_FATAL_FAILURE(
        expect_store_is(notes, embedded, random_text(random), 1 + random() % 12))
        << "seed " << GetParam() << ", step " << step;
  }
  one->backfill_embeddings();
  const Freshness fresh = two.freshness();
  EXPECT_EQ(fresh.fresh, source.size());
  EXPECT_EQ(fresh.rows, source.size());
  EXPECT_EQ(fresh.orphan, 0U);
  EXPECT_THAT(two.check(true), IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomHistory, testing::Range(1, 6));

TEST_F(NotesTest, IsSearchedByManyThreadsWhileOneBackfillsAndOneAdds) {
  for (int i = 1; i <= 400; ++i) note(i, "green " + std::to_string(i));
  NoteDB notes = open();
  std::atomic<bool> done{false};
  std::atomic<std::size_t> wrong{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      const auto query = FakeEncoder::vector_of("green 7");
      while (!done) {
        for (const Hit& hit : notes.search_by_vector(query, 5)) {
          if (hit.similarity > 1.0001F || hit.key.json.empty()) ++wrong;
        }
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 50; ++i)
      notes.add_embedding(1000 + i, body("added " + std::to_string(i)), "note");
  });
  for (int i = 0; i < 50; ++i) note(1000 + i, "added " + std::to_string(i));
  notes.backfill_embeddings({.batch_size = 25});
  threads.back().join();
  threads.pop_back();
  done = true;
  threads.clear();
  EXPECT_EQ(wrong, 0U);
  notes.backfill_embeddings();
  EXPECT_EQ(notes.freshness().fresh, 450U);
}

TEST_F(NotesTest, OneOfTwoRunsIsRefusedWithTheProcessThatHoldsTheStore) {
  for (int i = 1; i <= 10; ++i) note(i, "green " + std::to_string(i));
  NoteDB notes = open();
  NoteDB other = open();
  std::string refused;
  encoder_->on_encode = [&] {
    if (!refused.empty()) return;
    try {
      other.backfill_embeddings();
    } catch (const Unavailable& error) {
      refused = error.what();
    }
  };
  EXPECT_EQ(notes.backfill_embeddings().embedded, 10U);
  EXPECT_THAT(refused, HasSubstr("process " + std::to_string(::getpid())));
  EXPECT_EQ(encoder_->documents_encoded, 10U);
  EXPECT_EQ(other.backfill_embeddings().unchanged, 10U);
}

/// Runs `body` in a child process; its exit code.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 99;
    try {
      code = body();
    } catch (const Error& error) {
      code = error.exit_code();
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(NotesTest, SeesWhatAnotherProcessWrote) {
  NoteDB notes = open();
  notes.add_embedding(1, body("green door"), "note");
  EXPECT_EQ(found(notes, "green").size(), 1U);
  EXPECT_EQ(in_child([&] {
              Connection db =
                  Connection::open(file("notes.db"), false);  // no handle crosses the fork
              NoteDB child(db.handle(), options());
              child.add_embedding(2, body("green wall"), "note");
              child.save_index();
              child.add_embedding(3, body("green hat"), "note");
              child.remove_embedding(1);
              return 0;
            }),
            0);
  EXPECT_THAT(found(notes, "green"), testing::UnorderedElementsAre("2", "3"));
}

TEST_F(NotesTest, AFullDiskEndsTheRunAndTheNextOneGoesOn) {
  for (int i = 1; i <= 400; ++i) note(i, "green " + std::to_string(i));
  { open().backfill_embeddings({.batch_size = 10, .dry_run = true}); }
  for (const rlim_t limit : {rlim_t{20'000}, rlim_t{60'000}, rlim_t{120'000}}) {
    const int code = in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);  // a write behind the limit then fails like one on a full disk
      const rlimit bytes{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &bytes);
      Connection db = Connection::open(file("notes.db"), false);
      NoteDB notes(db.handle(), options());
      notes.backfill_embeddings({.batch_size = 10});
      return 0;
    });
    EXPECT_EQ(code, 4) << "limit " << limit;  // Unavailable, or StoreError: both are "try again"
  }
  NoteDB notes = open();
  const std::size_t before = notes.freshness().fresh;
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 400 - before);
  EXPECT_EQ(notes.freshness().fresh, 400U);
  EXPECT_THAT(notes.check(false), IsEmpty());
}

TEST_F(NotesTest, SearchGoesOnWhileTheSidecarIsLocked) {
  NoteDB notes = open();
  notes.add_embedding(1, body("green door"), "note");
  Connection locking = Connection::open(file("notes.sqlite"), false);
  Transaction transaction(locking);
  EXPECT_EQ(found(notes, "green").size(), 1U);  // readers wait for no writer
}

TEST_F(NotesTest, ADamagedSidecarIsRefusedAndNotChanged) {
  {
    NoteDB notes = open();
    for (int i = 1; i <= 100; ++i) note(i, "green " + std::to_string(i));
    notes.backfill_embeddings();
  }
  std::fstream stream(file("notes.sqlite"), std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(4096);
  stream << std::string(8192, '\xee');
  stream.close();
  NoteDB notes = open();
  EXPECT_THROW(
      {
        notes.search("green 7");
        notes.backfill_embeddings();
      },
      Error);
}

}  // namespace
}  // namespace nearlite
