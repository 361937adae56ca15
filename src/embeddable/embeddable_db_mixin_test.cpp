#include "nearlite/embeddable/embeddable_db_mixin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Record body(const std::string& text) {
  Record record;
  record.set("body", text);
  return record;
}

TEST_F(NotesTest, ARowIsAbsentUntilBackfillAndThenFound) {
  NoteDB notes = open();
  note(1, "upload failed with an error");
  note(2, "a recipe for apple cake");
  EXPECT_THAT(found(notes, "upload error"), IsEmpty());
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(result.passages, 2U);
  EXPECT_EQ(result.tokens, 10U);
  EXPECT_THAT(found(notes, "upload error"), ElementsAre("1", "2"));
}

TEST_F(NotesTest, AnAddedRecordIsFoundAtOnceWithItsOwnVector) {
  NoteDB notes = open();
  EXPECT_TRUE(notes.add_embedding(7, body("a green door"), "note", "test"));
  EXPECT_TRUE(notes.add_embedding(8, body("the red wall"), "note"));
  const auto vector = notes.get_vector(7);
  ASSERT_TRUE(vector);
  EXPECT_EQ(*vector, FakeEncoder::vector_of("a green door"));
  const auto hits = notes.search_by_vector(*vector, 1);
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].key, RecordKey(7));
  EXPECT_NEAR(hits[0].similarity, 1, 1e-6);
  EXPECT_NEAR(hits[0].distance, 0, 1e-3);
}

TEST_F(NotesTest, AddingAgainReplaces) {
  NoteDB notes = open();
  notes.add_embedding(7, body("a green door"), "note");
  notes.search("door");
  notes.add_embedding(7, body("the red wall"), "note");
  EXPECT_THAT(found(notes, "a green door"), ElementsAre("7"));
  EXPECT_EQ(*notes.get_vector(7), FakeEncoder::vector_of("the red wall"));
}

TEST_F(NotesTest, ARemovedRecordIsNotFound) {
  NoteDB notes = open();
  notes.add_embedding(7, body("a green door"), "note");
  notes.add_embedding(8, body("a green wall"), "note");
  EXPECT_TRUE(notes.remove_embedding(7));
  EXPECT_FALSE(notes.remove_embedding(7));
  EXPECT_FALSE(notes.get_vector(7));
  EXPECT_THAT(found(notes, "green"), ElementsAre("8"));
}

TEST_F(NotesTest, ASecondBackfillCallsNoModelAndWritesNoFile) {
  NoteDB notes = open();
  note(1, "one");
  note(2, "two");
  notes.backfill_embeddings();
  const auto written = std::filesystem::last_write_time(file("notes.index"));
  const std::size_t encoded = encoder_->documents_encoded;
  const BackfillResult again = notes.backfill_embeddings();
  EXPECT_EQ(again.embedded, 0U);
  EXPECT_EQ(again.unchanged, 2U);
  EXPECT_EQ(encoder_->documents_encoded, encoded);
  EXPECT_EQ(std::filesystem::last_write_time(file("notes.index")), written);
}

TEST_F(NotesTest, BackfillFollowsChangesAndDeletions) {
  NoteDB notes = open();
  note(1, "one");
  note(2, "two");
  note(3, "three");
  notes.backfill_embeddings();
  note(2, "zwei");
  db_.execute("DELETE FROM note WHERE id = 3");
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 1U);
  EXPECT_EQ(result.unchanged, 1U);
  EXPECT_EQ(result.removed, 1U);
  EXPECT_EQ(*notes.get_vector(2), FakeEncoder::vector_of("zwei"));
  EXPECT_THAT(found(notes, "three"), UnorderedElementsAre("1", "2"));
}

TEST_F(NotesTest, WhatCannotBeEmbeddedIsSkippedWithItsReasonAndStopsNothing) {
  db_.execute(
      "INSERT INTO note VALUES (1, NULL), (2, '  \n'), (3, x'00ff'), (4, CAST(x'61ff62' AS TEXT)), "
      "(5, 'good'), "
      "(6, 'unencodable'), (7, 'throw'), (8, 42)");
  NoteDB notes = open();
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(result.skipped, 6U);
  std::map<std::string, std::string> reasons;
  for (const SkippedRecord& skipped : result.skipped_records) {
    reasons[skipped.key.display()] = skipped.reason + (skipped.permanent ? "" : " (may pass)");
  }
  EXPECT_EQ(reasons["1"], "no text");
  EXPECT_EQ(reasons["2"], "no text");
  EXPECT_EQ(reasons["3"], "column body holds a BLOB, not text");
  EXPECT_EQ(reasons["4"], "the text is not valid UTF-8 at byte 1");
  EXPECT_EQ(reasons["6"], "the model refuses this text");
  EXPECT_EQ(reasons["7"], "the hook failed (may pass)");
  EXPECT_THAT(found(notes, "good"), ElementsAre("5", "8"));
  encoder_->documents_encoded = 0;
  const BackfillResult again = notes.backfill_embeddings();
  EXPECT_EQ(encoder_->documents_encoded, 0U);
  EXPECT_EQ(again.skipped, 6U);
  EXPECT_EQ(again.unchanged, 2U);
}

TEST_F(NotesTest, ATextThatBecomesBlankLosesItsVector) {
  NoteDB notes = open();
  note(1, "one");
  notes.backfill_embeddings();
  note(1, "");
  notes.backfill_embeddings();
  EXPECT_FALSE(notes.get_vector(1));
  EXPECT_EQ(notes.freshness().empty, 1U);
}

TEST_F(NotesTest, RefusesToEmbedUncommittedText) {
  NoteDB notes = open();
  db_.execute("BEGIN");
  note(1, "never committed");
  EXPECT_THROW(notes.backfill_embeddings(), InvalidArgument);
  db_.execute("ROLLBACK");
  EXPECT_FALSE(std::filesystem::exists(file("notes.sqlite")));
}

TEST_F(NotesTest, ADryRunWritesNothing) {
  NoteDB notes = open();
  note(1, "one two three");
  const BackfillResult result = notes.backfill_embeddings({.dry_run = true});
  EXPECT_EQ(result.embedded, 1U);
  EXPECT_EQ(result.tokens, 3U);
  EXPECT_FALSE(notes.get_vector(1));
  EXPECT_FALSE(std::filesystem::exists(file("notes.sqlite")));
}

TEST_F(NotesTest, AStopKeepsWhatWasEmbeddedAndTheNextRunGoesOn) {
  NoteDB notes = open();
  for (int i = 1; i <= 10; ++i) note(i, "note number " + std::to_string(i));
  std::stop_source stop;
  encoder_->on_encode = [&] { stop.request_stop(); };
  const BackfillResult first =
      notes.backfill_embeddings({.batch_size = 3, .stop = stop.get_token()});
  EXPECT_TRUE(first.stopped);
  EXPECT_EQ(first.embedded, 3U);
  encoder_->on_encode = nullptr;
  const BackfillResult second = notes.backfill_embeddings({.batch_size = 3});
  EXPECT_EQ(second.embedded, 7U);
  EXPECT_EQ(second.unchanged, 3U);
  EXPECT_EQ(encoder_->documents_encoded, 10U);
}

TEST_F(NotesTest, ALateResultOfAnOldTextNeverReplacesANewerOne) {
  NoteDB notes = open();
  note(1, "old text");
  bool first = true;
  encoder_->on_encode = [&] {
    if (std::exchange(first, false)) note(1, "new text");
  };
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 1U);
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("new text"));
}

TEST_F(NotesTest, NoticesWhatAnotherConnectionWroteMeanwhile) {
  NoteDB notes = open();
  for (int i = 1; i <= 10; ++i) note(i, "text " + std::to_string(i));
  Connection other = Connection::open(file("notes.db"), false);
  bool first = true;
  encoder_->on_encode = [&] {
    if (std::exchange(first, false)) {
      other.execute(
          "UPDATE note SET body = 'new text' WHERE id = 9; DELETE FROM note WHERE id = 1; "
          "INSERT INTO note VALUES (11, 'eleven')");
    }
  };
  notes.backfill_embeddings({.batch_size = 4});
  EXPECT_FALSE(notes.get_vector(1));
  EXPECT_EQ(*notes.get_vector(9), FakeEncoder::vector_of("new text"));
  EXPECT_EQ(*notes.get_vector(2), FakeEncoder::vector_of("text 2"));
}

TEST_F(NotesTest, RowsThatWereNumberedAnewKeepTheirVectorsWithoutTheModel) {
  db_.execute("CREATE TABLE bare(body)");
  class BareDB : public NoteDB {
   public:
    using NoteDB::NoteDB;
    RecordCursor iter_records() const override {
      return query("SELECT rowid, body FROM bare", {.kind = "note"});
    }
  };
  for (int i = 1; i <= 30; ++i)
    db_.execute("INSERT INTO bare VALUES ('text " + std::to_string(i) + "')");
  BareDB notes(db_.handle(), options());
  notes.backfill_embeddings({.batch_size = 7});
  encoder_->documents_encoded = 0;
  db_.execute("DELETE FROM bare WHERE rowid IN (3, 4, 11)");
  db_.execute("VACUUM");
  const BackfillResult result = notes.backfill_embeddings({.batch_size = 7});
  EXPECT_EQ(encoder_->documents_encoded, 0U);
  EXPECT_EQ(result.removed, 3U);
  EXPECT_EQ(*notes.get_vector(3), FakeEncoder::vector_of("text 5"));
  EXPECT_EQ(notes.freshness().fresh, 27U);
  EXPECT_THAT(found(notes, "text 30", 1), ElementsAre("27"));
}

/// Rows whose look-up by key takes its time, as in a view that is computed anew.
class SlowNoteDB : public NoteDB {
 public:
  using NoteDB::NoteDB;
  RecordCursor iter_records() const override {
    return query(
        "SELECT id, body FROM note WHERE (SELECT count(*) FROM (WITH RECURSIVE n(i) AS "
        "(VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 8000 + id - id) SELECT i FROM n)) > "
        "0",
        {.kind = "note"});
  }
};

TEST_F(NotesTest, ASlowLookUpIsSparedUntilSomebodyWrites) {
  SlowNoteDB notes(db_.handle(), options());
  for (int i = 1; i <= 40; ++i) note(i, "text " + std::to_string(i));
  Connection other = Connection::open(file("notes.db"), false);
  int calls = 0;
  encoder_->on_encode = [&] {
    if (++calls == 2) other.execute("UPDATE note SET body = 'new text' WHERE id = 38");
  };
  notes.backfill_embeddings({.batch_size = 25});
  EXPECT_EQ(*notes.get_vector(38), FakeEncoder::vector_of("new text"));
  EXPECT_EQ(notes.freshness().fresh, 40U);
}

TEST_F(NotesTest, ARowDeletedWhileItWasEncodedIsNotStored) {
  NoteDB notes = open();
  note(1, "gone soon");
  encoder_->on_encode = [&] { db_.execute("DELETE FROM note"); };
  notes.backfill_embeddings();
  EXPECT_FALSE(notes.get_vector(1));
}

TEST_F(NotesTest, FreshnessIsComputedAgainstTheRows) {
  NoteDB notes = open();
  db_.execute("INSERT INTO note VALUES (1, 'one'), (2, 'two'), (3, NULL), (4, 'four'), (5, x'00')");
  EXPECT_EQ(notes.freshness().missing, 3U);
  notes.backfill_embeddings();
  db_.execute(
      "UPDATE note SET body = 'zwei' WHERE id = 2; DELETE FROM note WHERE id = 4; INSERT INTO note "
      "VALUES (9, 'new')");
  const Freshness now = notes.freshness();
  EXPECT_EQ(now.rows, 5U);
  EXPECT_EQ(now.fresh, 1U);
  EXPECT_EQ(now.stale_text, 1U);
  EXPECT_EQ(now.missing, 1U);
  EXPECT_EQ(now.empty, 1U);
  EXPECT_EQ(now.skipped, 1U);
  EXPECT_EQ(now.orphan, 1U);
  EXPECT_TRUE(now.oldest_lag_seconds);
  EXPECT_EQ(now.model, "test/fake-1");
  EXPECT_FALSE(now.last_backfill.empty());
  EmbeddableOptions newer = options();
  newer.embedding_version = 2;
  EXPECT_EQ(NoteDB(db_.handle(), newer).freshness().stale_model, 1U);
  notes.backfill_embeddings();
  EXPECT_FALSE(notes.freshness().oldest_lag_seconds);
}

TEST_F(NotesTest, AnotherModelEmbedsAllAgainAndNeverMixes) {
  NoteDB notes = open();
  note(1, "one");
  note(2, "two");
  notes.backfill_embeddings();
  EmbeddableOptions other = options();
  other.encoder = std::make_shared<FakeEncoder>("fake-2");
  NoteDB notes2(db_.handle(), other);
  EXPECT_TRUE(notes2.needs_refresh(1));
  EXPECT_EQ(notes2.freshness().stale_model, 2U);
  const auto before = notes2.search_records(notes2.encode_text("one"), {.k = 5});
  EXPECT_THAT(before.hits, IsEmpty());
  EXPECT_FALSE(before.complete);
  EXPECT_THAT(before.incomplete_reason, HasSubstr("another model"));
  EXPECT_EQ(notes2.backfill_embeddings().embedded, 2U);
  EXPECT_EQ(*notes2.get_vector(1), FakeEncoder::vector_of("one", "fake-2"));
  EXPECT_THAT(found(notes2, "one"), ElementsAre("1", "2"));
}

TEST_F(NotesTest, EveryRecordHitIsTrue) {
  NoteDB notes = open();
  note(1, "green door");
  note(2, "green wall");
  note(3, "green hat");
  notes.backfill_embeddings();
  note(1, "something else");
  db_.execute("DELETE FROM note WHERE id = 2");
  const auto result = notes.search_records(notes.encode_text("green door"), {.k = 2});
  EXPECT_EQ(result.path, "exact");
  EXPECT_EQ(result.recall, 1.0);
  EXPECT_GE(result.num_scored, result.hits.size());
  ASSERT_EQ(result.hits.size(), 2U);
  EXPECT_EQ(result.hits[0].key, RecordKey(1));
  EXPECT_TRUE(result.hits[0].stale);
  EXPECT_EQ(result.hits[0].record.get("body"), "something else");
  EXPECT_EQ(result.hits[1].key, RecordKey(3));
  EXPECT_FALSE(result.hits[1].stale);
  EXPECT_EQ(result.hits[1].passage_text, "green hat");
  EXPECT_EQ(result.path, "exact");
}

TEST_F(NotesTest, ALongTextIsFoundByItsBestPassageOnce) {
  encoder_ = std::make_shared<FakeEncoder>("fake-1", 4);
  NoteDB notes = open();
  note(1, "a b c d green door in house x y z w");
  note(2, "nothing of that kind");
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(result.passages, 4U);
  const auto found = notes.search_records(notes.encode_text("green door in house"), {.k = 5});
  ASSERT_EQ(found.hits.size(), 2U);
  EXPECT_NEAR(found.hits[0].similarity, 1, 1e-6);
  EXPECT_EQ(found.hits[0].passage_text, "green door in house ");
  EXPECT_EQ(found.records, 2U);
}

TEST_F(NotesTest, AFilterIsKept) {
  NoteDB notes = open();
  for (int i = 1; i <= 50; ++i) note(i, "green " + std::to_string(i));
  notes.backfill_embeddings();
  const auto result = notes.search_records(
      notes.encode_text("green 3"),
      {.k = 10, .filter = [](const RecordKey& key) { return key == RecordKey(40); }});
  ASSERT_EQ(result.hits.size(), 1U);
  EXPECT_EQ(result.hits[0].key, RecordKey(40));
}

TEST_F(NotesTest, WritesAnIndexAndACompanionThatFitEachOther) {
  NoteDB notes = open();
  note(3, "three");
  note(5, "five");
  notes.add_embedding(3, body("three"), "note", "here");
  notes.backfill_embeddings();
  ASSERT_TRUE(std::filesystem::exists(file("notes.index")));
  const auto json = nlohmann::json::parse(std::ifstream(file("notes.json")));
  EXPECT_EQ(json["id_map"], nlohmann::json({"3", "5"}));
  EXPECT_EQ(json["vector_dim"], 16);
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["metadata"]["3"]["source_id"], "here");
  EXPECT_EQ(json["metadata"]["5"]["kind"], "note");
  EXPECT_EQ(json["metadata"]["5"]["embedding_version"], 1);
  EXPECT_EQ(json["index_sha256"], sha256_of_file(file("notes.index")));
  const auto result = notes.search_records(notes.encode_text("five"), {.k = 1, .index_only = true});
  EXPECT_EQ(result.path, "annoy");
  EXPECT_EQ(result.hits.at(0).key, RecordKey(5));
}

class DerivedFiles : public NotesTest, public testing::WithParamInterface<const char*> {
 protected:
  std::filesystem::path derived() const {
    if (std::string_view(GetParam()) != "segment") return file(GetParam());
    for (const auto& entry : std::filesystem::directory_iterator(file("notes.vec"))) {
      if (entry.path().extension() == ".vecs") return entry.path();
    }
    return file("notes.vec") / "no segment";
  }
  void expect_whole_again(const std::string& what) {
    const std::size_t encoded = encoder_->documents_encoded;
    {
      NoteDB notes = open();
      EXPECT_THAT(found(notes, "green 7", 3), expected_) << what;
      EXPECT_EQ(notes.backfill_embeddings().embedded, 0U) << what;
      EXPECT_THAT(found(notes, "green 7", 3), expected_) << what;
      notes.check(true);
      EXPECT_THAT(found(notes, "green 7", 3), expected_) << what;
      EXPECT_THAT(notes.check(false), IsEmpty()) << what;
    }
    EXPECT_TRUE(std::filesystem::exists(derived())) << what;
    EXPECT_EQ(encoder_->documents_encoded, encoded) << what;
  }
  std::vector<std::string> expected_;
};

TEST_P(DerivedFiles, MayBeDeletedCutOrFlippedAndAreMadeAgainWithoutTheModel) {
  {
    NoteDB notes = open();
    for (int i = 1; i <= 300; ++i) note(i, "green " + std::to_string(i));
    notes.backfill_embeddings();
    expected_ = found(notes, "green 7", 3);
  }
  std::filesystem::remove(derived());
  expect_whole_again("deleted");
  const auto size = std::filesystem::file_size(derived());
  for (const std::uintmax_t length : {std::uintmax_t{0}, size / 2, size - 1}) {
    std::filesystem::resize_file(derived(), length);
    expect_whole_again("cut to " + std::to_string(length));
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 20; ++i) {
    std::fstream stream(derived(), std::ios::in | std::ios::out | std::ios::binary);
    const auto at = static_cast<std::streamoff>(random() % std::filesystem::file_size(derived()));
    stream.seekg(at);
    const int byte = stream.get();
    stream.seekp(at);
    stream.put(static_cast<char>(byte ^ (1 << (random() % 8))));
    stream.close();
    expect_whole_again("flipped at " + std::to_string(at));
  }
}
INSTANTIATE_TEST_SUITE_P(Each, DerivedFiles,
                         testing::Values("segment", "notes.index", "notes.json"),
                         [](const auto& each) { return "File" + std::to_string(each.index); });

TEST_F(NotesTest, AnIndexFileAskedForOnceIsKeptByAStoreThatLeavesTheBackendToUs) {
  note(1, "one note");
  open().backfill_embeddings();  // as annoy
  EmbeddableOptions automatic = options();
  automatic.backend = Backend::kAuto;
  NoteDB notes(db_.handle(), automatic);
  note(2, "another note");
  notes.backfill_embeddings();
  EXPECT_THAT(notes.check(false), IsEmpty());
  const std::string rewritten = read_file(file("notes.index"));
  std::filesystem::resize_file(file("notes.index"), 5);
  EXPECT_FALSE(notes.check(false).empty());
  notes.check(true);
  EXPECT_THAT(notes.check(false), IsEmpty());
  EXPECT_EQ(read_file(file("notes.index")), rewritten);
}

TEST_F(NotesTest, ALostSidecarIsFoundByCheckAndMadeAnewByBackfill) {
  note(1, "green door");
  EXPECT_THAT(open().check(false), IsEmpty());  // never begun
  for (const bool is_empty : {false, true}) {
    {
      NoteDB notes = open();
      notes.backfill_embeddings({});
      notes.save_index();
    }
    for (const char* part : {"notes.sqlite", "notes.sqlite-wal", "notes.sqlite-shm"})
      std::filesystem::remove(file(part));
    if (is_empty) std::ofstream(file("notes.sqlite")).flush();
    const auto findings = open().check(false);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].code, "sidecar-lost");
    EXPECT_THAT(findings[0].message, HasSubstr(is_empty ? "empty" : "missing"));
  }
  NoteDB notes = open();
  notes.backfill_embeddings({});
  EXPECT_THAT(found(notes, "green door"), ElementsAre("1"));
  notes.check(true);
  EXPECT_THAT(notes.check(false), IsEmpty());
}

TEST_F(NotesTest, ADamagedVectorIsFoundByCheckNotReturnedAndEmbeddedAgain) {
  {
    NoteDB notes = open();
    notes.add_embedding(1, body("green door"), "note");
    notes.add_embedding(2, body("green wall"), "note");
  }
  note(1, "green door");
  note(2, "green wall");
  Connection::open(file("notes.sqlite"), false)
      .execute("UPDATE vector SET vector = zeroblob(64) WHERE slot = 1");
  NoteDB notes = open();
  EXPECT_THAT(found(notes, "green door"), ElementsAre("2"));
  EXPECT_THROW(notes.get_vector(1), CorruptData);
  const auto findings = notes.check(true);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "vector-checksum");
  EXPECT_EQ(notes.freshness().missing, 1U);
  EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
  EXPECT_THAT(notes.check(false), IsEmpty());
  EXPECT_THAT(found(notes, "green door"), ElementsAre("1", "2"));
}

TEST_F(NotesTest, TwoStoresShareOneSidecarWithoutHarm) {
  EmbeddableOptions info = options("information_embeddings");
  info.store_name = "info";
  EmbeddableOptions information = options("information_embeddings");
  information.store_name = "information";
  NoteDB a(db_.handle(), info);
  NoteDB b(db_.handle(), information);
  EXPECT_TRUE(a.add_embedding(1, body("green door"), "info"));
  EXPECT_TRUE(b.add_embedding(1, body("red wall"), "information"));
  EXPECT_TRUE(b.add_embedding(2, body("red hat"), "information"));
  a.save_index();
  b.save_index();
  EXPECT_THAT(found(a, "red wall"), ElementsAre("1"));
  EXPECT_THAT(found(b, "red wall"), ElementsAre("1", "2"));
  EXPECT_EQ(*a.get_vector(1), FakeEncoder::vector_of("green door"));
  const auto json = nlohmann::json::parse(std::ifstream(file("information_embeddings.json")));
  EXPECT_EQ(json["id_map"], nlohmann::json({"info:1", "information:1", "information:2"}));
  EXPECT_THAT(a.check(false), IsEmpty());
  EXPECT_THAT(b.check(false), IsEmpty());
}

TEST_F(NotesTest, FilesOfOthersAreKeptUnderAnotherName) {
  std::ofstream(file("notes.index")) << "an index of the original";
  std::ofstream(file("notes.json")) << "{}";
  NoteDB notes = open();
  note(1, "one");
  notes.backfill_embeddings();
  std::ifstream kept(file("notes.index.original"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), "an index of the original");
  EXPECT_TRUE(std::filesystem::exists(file("notes.json.original")));
}

TEST_F(NotesTest, AStoreThatWasEmptiedIsEmptyEverywhere) {
  NoteDB notes = open();
  note(1, "one");
  notes.backfill_embeddings();
  db_.execute("DELETE FROM note");
  EXPECT_EQ(notes.backfill_embeddings().removed, 1U);
  EXPECT_THAT(found(notes, "one"), IsEmpty());
  EXPECT_THAT(found(open(), "one"), IsEmpty());
  EXPECT_THAT(notes.check(false), IsEmpty());
  EXPECT_EQ(nlohmann::json::parse(std::ifstream(file("notes.json")))["id_map"].size(), 0U);
  note(2, "two");
  notes.backfill_embeddings();
  EXPECT_THAT(found(open(), "two"), ElementsAre("2"));
}

/// Refuses what holds "secret", hides numbers; which words count can change.
class TestGate : public Gate {
 public:
  explicit TestGate(std::string version, std::string word = "secret")
      : version_(std::move(version)), word_(std::move(word)) {}
  GateDecision check(std::string_view text) const override {
    ++checked;
    if (text.find(word_) != std::string_view::npos) return {GateAction::kBlock, "", {"word"}};
    const auto digit = text.find_first_of("0123456789");
    if (digit == std::string_view::npos) return {};
    return {GateAction::kRedact, std::string(text.substr(0, digit)) + "NUMBER", {"digits"}};
  }
  std::string rules_version() const override { return version_; }
  mutable std::size_t checked = 0;

 private:
  std::string version_;
  std::string word_;
};

TEST_F(NotesTest, WhatGovernanceRefusesNeverReachesTheEncoder) {
  EmbeddableOptions governed = options();
  governed.gate = std::make_shared<TestGate>("v1");
  NoteDB notes(db_.handle(), governed);
  note(1, "a secret thing");
  note(2, "call 555");
  note(3, "a plain thing");
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.blocked, 1U);
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(encoder_->documents_encoded, 2U);
  EXPECT_FALSE(notes.get_vector(1));
  EXPECT_EQ(*notes.get_vector(2), FakeEncoder::vector_of("call NUMBER"));
  EXPECT_EQ(notes.freshness().blocked, 1U);
  EXPECT_EQ(
      notes.search_records(notes.encode_text("call NUMBER"), {.k = 1}).hits.at(0).passage_text,
      "call NUMBER");
  const auto json = nlohmann::json::parse(std::ifstream(file("notes.json")));
  EXPECT_EQ(json["metadata"]["1"]["redacted"], false);
  EXPECT_EQ(json["metadata"]["1"]["reason"], "word");
  std::string reason;
  EXPECT_FALSE(notes.add_embedding(3, body("another secret"), "note", "", &reason));
  EXPECT_EQ(reason, "word");
  EXPECT_FALSE(notes.get_vector(3));
  note(3, "another secret");
  EXPECT_EQ(notes.backfill_embeddings().blocked, 2U);
}

TEST_F(NotesTest, OtherRulesAreAppliedWithoutTheModelWhereTheyDecideTheSame) {
  note(1, "a secret thing");
  note(2, "call 555");
  note(3, "a plain thing");
  EmbeddableOptions governed = options();
  governed.gate = std::make_shared<TestGate>("v1");
  NoteDB(db_.handle(), governed).backfill_embeddings();
  encoder_->documents_encoded = 0;
  auto gate = std::make_shared<TestGate>("v2", "plain");
  governed.gate = gate;
  NoteDB notes(db_.handle(), governed);
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.unchanged, 1U);
  EXPECT_EQ(result.embedded, 1U);
  EXPECT_EQ(result.blocked, 1U);
  EXPECT_EQ(encoder_->documents_encoded, 1U);
  EXPECT_FALSE(notes.get_vector(3));
  gate->checked = 0;
  EXPECT_EQ(notes.backfill_embeddings().unchanged, 2U);
  EXPECT_EQ(gate->checked, 0U);
}

TEST_F(NotesTest, TakesIdsAndOriginsFromAJsonOfTheOriginal) {
  std::ofstream(file("notes.json"))
      << R"({"id_map": ["1", "9"], "vector_dim": 2, "last_vectorization": "2025-01-01T00:00:00", "metadata": {
        "1": {"vector": [0.5, 0.5], "kind": "memo", "source_id": "mailbox", "embedding_version": 1, "redacted": true},
        "9": {"vector": [1, 0], "kind": "memo", "source_id": "gone", "embedding_version": 1, "redacted": true}}})";
  NoteDB notes = open();
  note(1, "one");
  EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
  const auto json = nlohmann::json::parse(std::ifstream(file("notes.json")));
  EXPECT_EQ(json["metadata"]["1"]["source_id"], "mailbox");
  EXPECT_FALSE(json["metadata"].contains("9"));
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("one"));
  EXPECT_TRUE(std::filesystem::exists(file("notes.json.original")));
}

TEST_F(NotesTest, ALateAddOfAnOldTextNeverReplacesANewerOne) {
  NoteDB notes = open();
  NoteDB other = open();
  note(1, "old text");
  bool first = true;
  encoder_->on_encode = [&] {
    if (!std::exchange(first, false)) return;
    note(1, "new text");
    other.add_embedding(1, body("new text"), "note");
  };
  notes.add_embedding(1, body("old text"), "note");
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("new text"));
}

TEST_F(NotesTest, ALargeStoreKeepsItsIndexUntilMoreThanATenthChanged) {
  EmbeddableOptions flat = options();
  flat.backend = Backend::kFlat;
  NoteDB notes(db_.handle(), flat);
  db_.execute(
      "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20100) "
      "INSERT INTO note SELECT i, 'green ' || i FROM n");
  notes.backfill_embeddings({.batch_size = 5000});
  const auto before = sha256_of_file(file("notes.index"));
  note(5, "changed");
  note(20200, "added");
  notes.backfill_embeddings();
  EXPECT_EQ(sha256_of_file(file("notes.index")), before);
  auto json = nlohmann::json::parse(std::ifstream(file("notes.json")));
  EXPECT_EQ(json["complete"], false);
  EXPECT_EQ(json["missing"], 2);
  EXPECT_EQ(json["id_map"].size(), 20100U);
  EXPECT_TRUE(json["id_map"][4].is_null());
  EXPECT_THAT(found(notes, "added", 1), ElementsAre("20200"));
  notes.check(true);
  json = nlohmann::json::parse(std::ifstream(file("notes.json")));
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["id_map"].size(), 20101U);
}

TEST_F(NotesTest, SeesWhatAnotherObjectWrote) {
  NoteDB writer = open();
  NoteDB reader = open();
  EXPECT_THAT(found(reader, "green"), IsEmpty());
  writer.add_embedding(1, body("green door"), "note");
  EXPECT_THAT(found(reader, "green"), ElementsAre("1"));
  writer.save_index();
  writer.add_embedding(2, body("green wall"), "note");
  writer.remove_embedding(1);
  EXPECT_THAT(found(reader, "green"), ElementsAre("2"));
}

TEST_F(NotesTest, KnowsWhetherTheSourceChanged) {
  NoteDB notes = open();
  note(1, "one");
  EXPECT_TRUE(notes.source_changed_since_backfill());
  notes.backfill_embeddings();
  EXPECT_FALSE(notes.source_changed_since_backfill());
  note(2, "two");
  EXPECT_TRUE(notes.source_changed_since_backfill());
}

TEST_F(NotesTest, RefusesOptionsThatContradictEachOther) {
  EmbeddableOptions same = options();
  same.metadata_path = same.index_path;
  EXPECT_THROW(NoteDB(db_.handle(), same), InvalidArgument);
  EmbeddableOptions database = options();
  database.index_path = folder_ / "notes.db";
  EXPECT_THROW(NoteDB(db_.handle(), database), InvalidArgument);
  NoteDB notes = open();
  EXPECT_THROW(notes.backfill_embeddings({.batch_size = 0}), InvalidArgument);
  EXPECT_THROW(notes.search_by_vector(std::vector<float>(16, 1), 0), InvalidArgument);
  notes.add_embedding(1, body("x"), "note");
  EXPECT_THROW(notes.search_by_vector(std::vector<float>(3, 1)), InvalidArgument);
}

TEST_F(NotesTest, DoesNotTouchASidecarOfSomebodyElse) {
  { Connection::open(file("notes.sqlite"), true).execute("CREATE TABLE mine(x)"); }
  const auto before = sha256_of_file(file("notes.sqlite"));
  NoteDB notes = open();
  note(1, "one");
  EXPECT_THROW(notes.backfill_embeddings(), CorruptData);
  EXPECT_THROW(notes.search("one"), CorruptData);
  EXPECT_EQ(sha256_of_file(file("notes.sqlite")), before);
}

/// A store whose vectors come from its rows.
class PointDB : public NoteDB {
 public:
  using NoteDB::NoteDB;
  std::optional<std::vector<float>> vector(const Record& point) const override {
    const std::string body = point.get("body");
    return std::vector<float>{std::stof(body), std::stof(body.substr(body.find(',') + 1))};
  }
};

class NoEncoder : public FakeEncoder {
 public:
  const ModelInfo& info() const override { throw NotFound("there is no model"); }
  EncodedBatch encode(std::span<const std::string_view>, TextRole) const override {
    throw NotFound("there is no model");
  }
};

TEST_F(NotesTest, AStoreWithVectorsOfItsOwnNeedsNoModel) {
  EmbeddableOptions own = options();
  own.encoder = std::make_shared<NoEncoder>();
  PointDB points(db_.handle(), own);
  note(1, "1,0");
  note(2, "0,1");
  note(3, "0,0");
  const BackfillResult result = points.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(result.skipped_records.at(0).reason, "the vector is all zeros");
  const auto hits = points.search_by_vector(std::vector<float>{2, 0.1F});
  ASSERT_EQ(hits.size(), 2U);
  EXPECT_EQ(hits[0].key, RecordKey(1));
  EXPECT_EQ(points.backfill_embeddings().unchanged, 2U);
  EXPECT_EQ(points.freshness().fresh, 2U);
  EXPECT_FALSE(points.needs_refresh(1));
  const auto records = points.search_records(std::vector<float>{0, 1}, {.k = 1});
  EXPECT_EQ(records.hits.at(0).key, RecordKey(2));
  EXPECT_FALSE(records.hits[0].stale);
}

TEST_F(NotesTest, AMissingModelStopsBeforeAnythingIsWritten) {
  EmbeddableOptions missing = options();
  missing.encoder = std::make_shared<NoEncoder>();
  NoteDB notes(db_.handle(), missing);
  note(1, "one");
  EXPECT_THROW(notes.backfill_embeddings(), NotFound);
  EXPECT_THROW(notes.add_embedding(1, body("one"), "note"), NotFound);
  EXPECT_FALSE(std::filesystem::exists(file("notes.sqlite")));
}

TEST_F(NotesTest, ADryRunCountsWhatTheRunThenDoes) {
  std::string words;
  for (int i = 0; i < 80; ++i) words += "word" + std::to_string(i) + " ";
  note(1, "a few words");
  note(2, words);  // three passages of 32
  note(3, "");
  NoteDB notes = open();
  BackfillOptions dry;
  dry.dry_run = true;
  const BackfillResult expected = notes.backfill_embeddings(dry);
  EXPECT_FALSE(std::filesystem::exists(file("notes.sqlite")));
  EXPECT_EQ(expected.longer, 1U);
  EXPECT_GT(expected.estimated_bytes, 0U);
  EXPECT_TRUE(expected.estimated_ms);
  const BackfillResult done = notes.backfill_embeddings();
  EXPECT_EQ(done.embedded, expected.embedded);
  EXPECT_EQ(done.passages, expected.passages);
  EXPECT_EQ(done.longer, expected.longer);
  EXPECT_EQ(done.tokens, expected.tokens);
  EXPECT_EQ(done.skipped, expected.skipped);
  EXPECT_FALSE(done.estimated_ms);
}

TEST_F(NotesTest, AnEstimateOfAFewRecordsIsExactAndOfManyIsNear) {
  db_.execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO "
      "note SELECT i, CASE WHEN i % 4 = 0 THEN replace(hex(zeroblob(20)), '00', 'long ') ELSE "
      "'a short text' END FROM n");
  auto small = std::make_shared<FakeEncoder>("fake-1", 16);
  EmbeddableOptions settings = options();
  settings.encoder = small;
  const NoteDB notes(db_.handle(), settings);
  const CostEstimate whole = notes.estimate_cost();
  EXPECT_TRUE(whole.exact);
  EXPECT_EQ(whole.cost.texts, 1000U);
  EXPECT_EQ(whole.cost.longer, 250U);
  EXPECT_EQ(whole.cost.passages, 1250U);
  EXPECT_EQ(whole.cost.tokens, 750U * 3 + 250U * 20);
  const CostEstimate sampled = notes.estimate_cost({.max_texts = 150, .measure = false});
  EXPECT_FALSE(sampled.exact);
  EXPECT_EQ(sampled.rows, 1000U);
  EXPECT_NEAR(static_cast<double>(sampled.cost.longer), 250, 25);
  EXPECT_NEAR(static_cast<double>(sampled.cost.tokens), static_cast<double>(whole.cost.tokens),
              700);
  EXPECT_FALSE(sampled.milliseconds);
}

}  // namespace
}  // namespace nearlite
