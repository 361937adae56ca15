// Faults of the original system (tests/defects.md) that would show in the mixin, by their symptom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "note_db.h"

namespace nearlite {
namespace {

using testing::ElementsAre;

class OriginalFaults : public NotesTest {
 protected:
  static Record body(const std::string& text) { return Record({{"body", text}}); }

  /// Every file of the test's folder with its bytes, but for what SQLite keeps in shared memory.
  std::map<std::string, std::string> bytes_of_all_files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(file(""))) {
      if (!entry.is_regular_file() || entry.path().string().ends_with("-shm")) continue;
      std::ifstream stream(entry.path(), std::ios::binary);
      files[entry.path().lexically_relative(file("")).string()] =
          std::string(std::istreambuf_iterator<char>(stream), {});
    }
    return files;
  }
};

/// Refuses what says "secret".
class WordGate : public Gate {
 public:
  GateDecision check(std::string_view text) const override {
    if (text.find("secret") != std::string_view::npos) return {GateAction::kBlock, "", {"word"}};
    return {};
  }
  std::string rules_version() const override { return "words"; }
};

// 1: each added record rebuilt the index and rewrote the JSON.
TEST_F(OriginalFaults, AnAddRebuildsNeitherIndexNorJsonNorSegment) {
  NoteDB notes = open();
  for (int i = 1; i <= 20; ++i) note(i, "note number " + std::to_string(i));
  notes.backfill_embeddings();
  const auto before = bytes_of_all_files();
  ASSERT_TRUE(before.contains("notes.index"));
  ASSERT_TRUE(before.contains("notes.json"));
  notes.add_embedding(21, body("a green door"), "note");
  auto after = bytes_of_all_files();
  EXPECT_THAT(found(notes, "a green door").front(), "21");
  for (const auto& [name, bytes] : before) {
    if (name.starts_with("notes.sqlite")) continue;  // the truth: one row more
    EXPECT_EQ(after[name], bytes) << name;
  }
  EXPECT_EQ(after.size(), before.size());
}

// 2: record objects in the JSON made every later save fail.
TEST_F(OriginalFaults, ARecordOfAnySortIsSavedAndTheNextOneToo) {
  NoteDB notes = open();
  Record odd({{"body", std::string("a plain text")},
              {"blob", Blob{{std::byte{0}, std::byte{1}, std::byte{0xFF}}}},
              {"nothing", std::monostate{}},
              {"number", 1.5}});
  notes.add_embedding(1, odd, "note");
  notes.save_index();
  notes.add_embedding(2, body("another text"), "note");
  notes.save_index();
  const auto json = nlohmann::json::parse(std::ifstream(file("notes.json")));
  EXPECT_EQ(json["id_map"], nlohmann::json({"1", "2"}));
  EXPECT_FALSE(json["metadata"]["1"].contains("record"));
}

// 3: a refused record poisoned the store, and one that was refused was never found again.
TEST_F(OriginalFaults, ARefusedRecordIsPassedOverAndFoundOnceItIsClean) {
  EmbeddableOptions governed = options();
  governed.gate = std::make_shared<WordGate>();
  NoteDB notes(db_.handle(), governed);
  EXPECT_FALSE(notes.add_embedding(1, body("a secret door"), "note"));
  EXPECT_TRUE(notes.add_embedding(2, body("a green door"), "note"));
  notes.save_index();
  EXPECT_EQ(notes.get_vector(1), std::nullopt);
  EXPECT_THAT(found(notes, "door"), ElementsAre("2"));
  EXPECT_FALSE(notes.add_embedding(2, body("a secret door"), "note"));  // embedded, now refused
  notes.save_index();
  EXPECT_TRUE(found(notes, "door").empty());
  EXPECT_TRUE(notes.add_embedding(1, body("a clean door"), "note"));  // refused, now clean
  notes.save_index();
  EXPECT_THAT(found(notes, "door"), ElementsAre("1"));
}

// 6: what was refused reached the disk with the next good record only.
TEST_F(OriginalFaults, ARefusalIsOnTheDiskWithoutAnyOtherRecord) {
  EmbeddableOptions governed = options();
  governed.gate = std::make_shared<WordGate>();
  note(1, "a secret door");
  NoteDB(db_.handle(), governed).backfill_embeddings();
  EXPECT_EQ(NoteDB(db_.handle(), governed).freshness().blocked, 1U);
  EXPECT_FALSE(NoteDB(db_.handle(), governed).needs_refresh(1));
}

// 13: every hit wrote a row of statistics.
TEST_F(OriginalFaults, SearchingAndReadingVectorsWriteNothing) {
  NoteDB notes = open();
  note(1, "a green door");
  note(2, "a red wall");
  notes.backfill_embeddings();
  found(notes, "door");  // opens what there is to open
  const auto before = bytes_of_all_files();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(found(notes, "a green door").size(), 2U);
    notes.get_vector(1);
    notes.search_records(notes.encode_text("wall"), {.k = 1});
    notes.freshness();
  }
  EXPECT_EQ(bytes_of_all_files(), before);
}

// 26: with FAISS nearer hits got lower similarities.
TEST_F(OriginalFaults, EveryBackendCallsTheNearestOneTheMostSimilar) {
  for (const Backend backend : {Backend::kAnnoy, Backend::kFlat, Backend::kGraph, Backend::kAuto}) {
    EmbeddableOptions chosen = options();
    chosen.backend = backend;
    chosen.index_path = file(std::string(backend_name(backend)) + ".index");
    chosen.metadata_path = file(std::string(backend_name(backend)) + ".json");
    chosen.sidecar_path = file(std::string(backend_name(backend)) + ".sqlite");
    NoteDB notes(db_.handle(), chosen);
    notes.add_embedding(1, body("a green door in a house"), "note");
    notes.add_embedding(2, body("a green door"), "note");
    notes.add_embedding(3, body("something else"), "note");
    notes.save_index();
    const auto hits = notes.search("a green door", 3);
    ASSERT_EQ(hits.size(), 3U) << backend_name(backend);
    EXPECT_EQ(hits[0].key, RecordKey(2)) << backend_name(backend);
    EXPECT_NEAR(hits[0].similarity, 1, 1e-6);
    EXPECT_GT(hits[0].similarity, hits[1].similarity);
    EXPECT_GT(hits[1].similarity, hits[2].similarity);
    const bool larger_is_nearer = backend != Backend::kAnnoy;
    EXPECT_EQ(hits[0].distance > hits[2].distance, larger_is_nearer) << backend_name(backend);
  }
}

}  // namespace
}  // namespace nearlite
