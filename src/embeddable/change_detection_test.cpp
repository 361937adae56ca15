// Which rows a run looks at: a column that tells of changes is trusted for texts, never for
// deletions; questions are read by the model of the vectors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nearlite/base/error.h"
#include "nearlite_test/message_of.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// note(id, body, changed): `changed` is trusted. Counts the texts that were read.
class StampedNotes : public NoteDB {
 public:
  using NoteDB::NoteDB;
  std::string text(const Record& note) const override {
    ++texts_read;
    return NoteDB::text(note);
  }
  RecordCursor iter_records() const override {
    return query("SELECT id, body, changed FROM note",
                 {.kind = "note", .table = {}, .num_key_columns = 1, .source_id = {}});
  }
  std::string updated_column() const override { return "changed"; }
  RecordCursor iter_versions() const override {
    return query("SELECT id, changed FROM note",
                 {.kind = "note", .table = {}, .num_key_columns = 1, .source_id = {}});
  }
  mutable std::size_t texts_read = 0;
};

class ATrustedColumn : public NotesTest {
 protected:
  ATrustedColumn() { db_.execute("ALTER TABLE note ADD COLUMN changed"); }
  void note(int id, const std::string& body, const std::string& changed) {
    db_.prepare("INSERT OR REPLACE INTO note VALUES (?1, ?2, ?3)")
        .run(std::int64_t{id}, std::string_view(body), std::string_view(changed));
  }
};

TEST_F(ATrustedColumn, SparesTheReadingOfUnchangedRows) {
  for (int id = 1; id <= 20; ++id) note(id, "text " + std::to_string(id), "2024-01-01");
  StampedNotes notes(db_.handle(), options());
  EXPECT_EQ(notes.backfill_embeddings().embedded, 20U);
  notes.texts_read = 0;
  EXPECT_EQ(notes.backfill_embeddings().unchanged, 20U);
  EXPECT_EQ(notes.texts_read, 0U);
  note(3, "another text", "2024-01-02");
  note(21, "new", "2024-01-02");
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(result.unchanged, 19U);
  EXPECT_LE(notes.texts_read, 4U);  // read, and read again before it is written
  EXPECT_EQ(*notes.get_vector(3), FakeEncoder::vector_of("another text"));
}

TEST_F(ATrustedColumn, NeverHidesDeletions) {
  for (int id = 1; id <= 5; ++id) note(id, "text " + std::to_string(id), "2024-01-01");
  StampedNotes notes(db_.handle(), options());
  notes.backfill_embeddings();
  db_.execute("DELETE FROM note WHERE id IN (2, 4)");
  EXPECT_EQ(notes.freshness().orphan, 2U);
  EXPECT_EQ(notes.backfill_embeddings().removed, 2U);
  EXPECT_FALSE(notes.get_vector(2));
  EXPECT_EQ(notes.freshness().fresh, 3U);
}

TEST_F(ATrustedColumn, IsNotTrustedByAFullRun) {
  note(1, "old", "2024-01-01");
  StampedNotes notes(db_.handle(), options());
  notes.backfill_embeddings();
  note(1, "changed behind the column", "2024-01-01");
  EXPECT_EQ(notes.freshness().fresh, 1U);
  EXPECT_EQ(notes.freshness().updated_column, "changed");
  EXPECT_EQ(notes.freshness({.full = true}).stale_text, 1U);
  EXPECT_EQ(notes.freshness({.full = true}).updated_column, "");
  EXPECT_EQ(notes.backfill_embeddings().embedded, 0U);
  EXPECT_EQ(notes.backfill_embeddings({.full = true}).embedded, 1U);
  EXPECT_EQ(notes.freshness({.full = true}).fresh, 1U);
}

TEST_F(ATrustedColumn, ThatChangedAloneCostsNoEncoding) {
  note(1, "text", "2024-01-01");
  StampedNotes notes(db_.handle(), options());
  notes.backfill_embeddings();
  encoder_->documents_encoded = 0;
  note(1, "text", "2024-01-02");
  notes.backfill_embeddings();
  EXPECT_EQ(encoder_->documents_encoded, 0U);
  notes.texts_read = 0;
  EXPECT_EQ(notes.backfill_embeddings().unchanged, 1U);
  EXPECT_EQ(notes.texts_read, 0U);
}

TEST_F(ATrustedColumn, WithoutAValueIsNotTrusted) {
  db_.execute("INSERT INTO note VALUES (1, 'one', NULL), (2, '', '2024')");
  StampedNotes notes(db_.handle(), options());
  notes.backfill_embeddings();
  db_.execute("UPDATE note SET body = 'two'");
  EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("two"));
  EXPECT_FALSE(notes.get_vector(2));  // as the column says
  EXPECT_EQ(notes.backfill_embeddings().skipped, 1U);
}

TEST_F(ATrustedColumn, DoesNotKeepVectorsOfAnotherModel) {
  note(1, "one", "2024-01-01");
  StampedNotes(db_.handle(), options()).backfill_embeddings();
  EmbeddableOptions other = options();
  other.encoder = std::make_shared<FakeEncoder>("fake-2");
  StampedNotes notes(db_.handle(), other);
  EXPECT_EQ(notes.freshness().stale_model, 1U);
  EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("one", "fake-2"));
}

TEST_F(NotesTest, AQuestionIsReadByTheModelOfTheVectors) {
  note(1, "green door");
  note(2, "red house");
  open().backfill_embeddings();
  EmbeddableOptions other = options();
  other.encoder = std::make_shared<FakeEncoder>("fake-2");
  EXPECT_TRUE(NoteDB(db_.handle(), other).search("green door").empty());
  std::vector<std::string> asked;
  other.other_encoder = [&](const std::string& name) {
    asked.push_back(name);
    return encoder_;
  };
  NoteDB notes(db_.handle(), other);
  EXPECT_EQ(found(notes, "green door", 1), std::vector<std::string>{"1"});
  EXPECT_EQ(notes.encode_text("green door"), FakeEncoder::vector_of("green door"));
  EXPECT_EQ(notes.question_model(), "fake-1");
  EXPECT_THAT(asked, ElementsAre("test/fake-1"));
  notes.backfill_embeddings();
  EXPECT_EQ(notes.question_model(), "fake-2");
  EXPECT_EQ(notes.encode_text("green door"), FakeEncoder::vector_of("green door", "fake-2"));
  EXPECT_EQ(found(notes, "green door", 1), std::vector<std::string>{"1"});
}

TEST_F(NotesTest, OwnVectorsOfAnotherDimensionAreSkippedWithTheReason) {
  class Growing : public NoteDB {
   public:
    using NoteDB::NoteDB;
    std::optional<std::vector<float>> vector(const Record& note) const override {
      return std::vector<float>(note.get("body").size(), 1.0F);
    }
  };
  note(1, "abc");
  note(2, "abcd");
  note(3, "xyz");
  Growing notes(db_.handle(), options());
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  ASSERT_EQ(result.skipped_records.size(), 1U);
  EXPECT_THAT(result.skipped_records[0].reason, HasSubstr("another dimension"));
  EXPECT_EQ(notes.backfill_embeddings().unchanged, 2U);
}

TEST_F(NotesTest, ATextOfManyRowsIsEncodedOnce) {
  for (int id = 1; id <= 6; ++id)
    note(id, id % 2 == 0 ? "the same text" : "own text " + std::to_string(id));
  NoteDB notes = open();
  const BackfillResult expected = notes.backfill_embeddings({.dry_run = true});
  encoder_->documents_encoded = 0;
  const BackfillResult done = notes.backfill_embeddings();
  EXPECT_EQ(encoder_->documents_encoded, 4U);
  EXPECT_EQ(done.embedded, 6U);
  EXPECT_EQ(done.tokens, 3U * 3 + 3);
  EXPECT_EQ(expected.tokens, done.tokens);
  for (const int id : {2, 4, 6})
    EXPECT_EQ(*notes.get_vector(id), FakeEncoder::vector_of("the same text"));
}

TEST_F(NotesTest, AnotherModelIsRefusedWhereTheStoreKeepsItsOwn) {
  note(1, "one");
  open().backfill_embeddings();
  EmbeddableOptions other = options();
  other.encoder = std::make_shared<FakeEncoder>("fake-2");
  other.keeps_model = true;
  NoteDB notes(db_.handle(), other);
  EXPECT_EQ(notes.vectors_model(), "test/fake-1");
  EXPECT_THAT(message_of<InvalidArgument>([&] { notes.backfill_embeddings(); }),
              testing::AllOf(HasSubstr("by test/fake-1"), HasSubstr("is test/fake-2 now")));
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("one"));
}

TEST_F(NotesTest, RowsOfAViewWithoutAnOrderHoldNoLock) {
  for (int id = 1; id <= 5; ++id) note(id, "text " + std::to_string(id));
  db_.execute(
      "CREATE VIEW pair AS SELECT max(id) AS last, group_concat(body) AS body, NULL, x'01' FROM "
      "note GROUP BY id / 2");
  RecordCursor rows = query_records(db_.handle(), "SELECT * FROM pair", {.kind = "pair"});
  SourceRecord row;
  ASSERT_TRUE(rows.next(row));
  Connection owner = Connection::open(folder_ / "notes.db", false);
  sqlite3_busy_timeout(owner.handle(), 0);
  owner.execute("DELETE FROM note");  // a rollback journal: a reader would be in the way
  std::size_t count = 1;
  while (rows.next(row)) ++count;
  EXPECT_EQ(count, 3U);
  EXPECT_EQ(row.key, RecordKey(5));
  EXPECT_EQ(row.record.get("body"), "text 4,text 5");
  EXPECT_TRUE(std::holds_alternative<std::monostate>(row.record.fields()[2].second));
  EXPECT_TRUE(std::holds_alternative<Blob>(row.record.fields()[3].second));
}

}  // namespace
}  // namespace nearlite
