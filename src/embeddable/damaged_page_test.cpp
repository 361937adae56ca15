// A database of the user with a damaged page: the rows around it are embedded, and nothing is
// forgotten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "nearlite/base/error.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::HasSubstr;

class DamagedPage : public NotesTest {
 protected:
  static constexpr int kRows = 400;

  DamagedPage() {
    {
      Connection db = Connection::open(path_, true);
      db.execute(
          "PRAGMA page_size = 1024; PRAGMA auto_vacuum = NONE;"
          "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)");
      for (int i = 1; i <= kRows; ++i) insert(db, i);
    }
  }
  static void insert(const Connection& db, int id) {
    const std::string body = "note number " + std::to_string(id) + " " + std::string(60, 'x');
    db.prepare("INSERT INTO note VALUES (?1, ?2)").run(std::int64_t{id}, std::string_view(body));
  }
  /// Overwrites the page that holds a row.
  void damage(int id) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    const auto at = bytes.find("note number " + std::to_string(id) + " ");
    ASSERT_NE(at, std::string::npos);
    file.clear();
    file.seekp(static_cast<std::streamoff>(at / 1024 * 1024));
    file << std::string(1024, '\xFF');
  }
  NoteDB notes(const Connection& db) { return NoteDB(db.handle(), options("damaged")); }

  const std::filesystem::path path_ = file("damaged.db");
};

TEST_F(DamagedPage, RowsBeforeAndBehindItAreEmbedded) {
  damage(200);
  const Connection db = Connection::open_source(path_);
  NoteDB store = notes(db);
  const BackfillResult result = store.backfill_embeddings();
  ASSERT_EQ(result.skipped_records.size(), 1U);
  EXPECT_EQ(result.failed, 1U);
  EXPECT_THAT(result.skipped_records[0].reason, HasSubstr("a page of the database is damaged"));
  EXPECT_GT(result.embedded, 380U);
  EXPECT_LT(result.embedded, 400U);
  EXPECT_TRUE(store.get_vector(1));
  EXPECT_TRUE(store.get_vector(kRows));
  EXPECT_FALSE(store.get_vector(200));
  EXPECT_EQ(store.backfill_embeddings().unchanged, result.embedded);
}

TEST_F(DamagedPage, HidesRowsWithoutMakingThemOrphans) {
  {
    const Connection db = Connection::open(path_, false);
    EXPECT_EQ(notes(db).backfill_embeddings().embedded, 400U);
    db.prepare("DELETE FROM note WHERE id = 399").run();
    db.prepare("UPDATE note SET body = 'changed' WHERE id = 1").run();
  }
  damage(200);
  const Connection db = Connection::open_source(path_);
  NoteDB store = notes(db);
  const BackfillResult result = store.backfill_embeddings();
  EXPECT_EQ(result.removed, 1U);
  EXPECT_EQ(result.embedded, 1U);
  EXPECT_TRUE(store.get_vector(200)) << "its row may be saved yet";
  EXPECT_THROW(store.freshness(), CorruptData);
}

TEST_F(DamagedPage, OfTheFirstAndTheLastRowIsPassedOverToo) {
  damage(1);
  damage(kRows);
  const Connection db = Connection::open_source(path_);
  NoteDB store = notes(db);
  const BackfillResult result = store.backfill_embeddings();
  ASSERT_EQ(result.skipped_records.size(), 2U);
  EXPECT_THAT(result.skipped_records.at(0).reason, HasSubstr("between the first row and"));
  EXPECT_THAT(result.skipped_records.at(1).reason, HasSubstr("the rows behind "));
  EXPECT_TRUE(store.get_vector(200));
  EXPECT_FALSE(store.get_vector(kRows));
}

}  // namespace
}  // namespace nearlite
