// The user's database stays as it is, whatever is in it: proposed, recorded, embedded and searched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/proposal.h"
#include "nearlite/databases/registry.h"
#include "nearlite/databases/sidecar_folder.h"
#include "nearlite/databases/table_store.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class UserFileTest : public testing::Test {
 protected:
  std::filesystem::path file() const { return folder_ / "app.db"; }
  StoreSettings settings() const { return {.shared_encoder = encoder_}; }

  /// As `nearlite index app.db --yes` does it.
  Proposal index(const ProposalOptions& options = {}) {
    Proposal proposal;
    {
      const Connection db = Connection::open_source(file());
      proposal = propose(db, file(), options);
    }
    const auto sidecar = sidecar_folder_of(file());
    create_sidecar_folder(sidecar, file());
    for (ProposedTable& table : proposal.tables) {
      table.config.database = file();
      add_store(sidecar_config(sidecar), table.config, ConfigPlace::kSidecar);
    }
    return proposal;
  }
  std::size_t embed_all() {
    std::size_t embedded = 0;
    const Registry registry = Registry::of_files(std::array{file()}, settings());
    for (const StoreEntry& entry : registry.entries()) {
      embedded += registry.open(entry)->backfill_embeddings().embedded;
    }
    return embedded;
  }
  std::vector<std::string> files_beside() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  DatabaseFolder folder_;
  std::shared_ptr<const TextEncoder> encoder_ = std::make_shared<WordCountEncoder>();
};

TEST_F(UserFileTest, StaysEqualByteForByteInEachJournalMode) {
  for (const char* mode : {"delete", "wal", "persist", "truncate"}) {
    std::filesystem::remove_all(folder_ / "app.db.nearlite");
    std::filesystem::remove(file());
    folder_.database("app.db",
                     std::string("PRAGMA journal_mode = ") + mode +
                         "; CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
                         "INSERT INTO notes VALUES (1, 'the upload of a large file has failed'),"
                         "(2, 'the garden sleeps under the snow of winter')");
    const std::string before = sha256_of_file(file());
    auto expected_files = files_beside();
    expected_files.emplace_back("app.db.nearlite");
    index();
    EXPECT_EQ(embed_all(), 2U) << mode;
    {
      const auto store = Registry::of_files(std::array{file()}, settings()).open("notes");
      EXPECT_EQ(store->search("failed upload", 1).at(0).key, RecordKey(1));
      EXPECT_EQ(store->freshness().fresh, 2U);
      EXPECT_TRUE(store->keys_matching("body LIKE '%snow%'")(RecordKey(2)));
      EXPECT_THAT(store->check(false), testing::IsEmpty());
    }
    EXPECT_EQ(sha256_of_file(file()), before) << mode;
    std::sort(expected_files.begin(), expected_files.end());
    EXPECT_EQ(files_beside(), expected_files) << mode;
  }
}

TEST_F(UserFileTest, ItsOwnerCanWriteWhileAStoreIsOpen) {
  folder_.database("app.db",
                   "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
                   "INSERT INTO notes VALUES (1, 'the upload of a large file has failed')");
  index();
  embed_all();
  const auto store = Registry::of_files(std::array{file()}, settings()).open("notes");
  RecordCursor cursor = store->iter_records();
  SourceRecord record;
  ASSERT_TRUE(cursor.next(record));
  Connection owner = Connection::open(file(), false);
  owner.execute("INSERT INTO notes VALUES (2, 'a fresh letter from the reader arrived today')");
  EXPECT_EQ(store->backfill_embeddings().embedded, 1U);
  EXPECT_EQ(store->search("fresh letter", 1).at(0).key, RecordKey(2));
}

TEST_F(UserFileTest, AHotJournalIsRefused) {
  folder_.database(
      "live.db",
      "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, 'x')");
  Connection writer = Connection::open(folder_ / "live.db", false);
  writer.execute(
      "PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE notes SET body = 'new';"
      "INSERT INTO notes SELECT 2, zeroblob(100000)");
  std::filesystem::copy_file(folder_ / "live.db", file());
  std::filesystem::copy_file(folder_ / "live.db-journal", folder_ / "app.db-journal");
  writer.execute("ROLLBACK");
  const std::string before = sha256_of_file(file());
  const TableConfig config{.name = "notes", .database = file(), .table = "notes", .text = {"body"}};
  EXPECT_THROW(TableStore(config, TableStore::options_for(config, folder_.path())), Unavailable);
  EXPECT_EQ(sha256_of_file(file()), before);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "app.db-journal"));
}

TEST_F(UserFileTest, RecordsThatCannotBeEmbeddedAreListedAndStopNothing) {
  folder_.database(
      "app.db",
      "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
      "INSERT INTO notes VALUES (1, 'the upload of a large file has failed'), (2, NULL), (3, '  '),"
      "(4, x'00ff'), (5, CAST(x'ff41' AS TEXT)), (6, 42), (7, 'a' || char(0) || 'b')");
  index({.tables = {{"notes", {"body"}}}});
  const auto store = Registry::of_files(std::array{file()}, settings()).open("notes");
  const BackfillResult result = store->backfill_embeddings();
  EXPECT_EQ(result.embedded, 3U);
  std::vector<std::string> reasons;
  for (const SkippedRecord& skipped : result.skipped_records) {
    EXPECT_TRUE(skipped.permanent);
    reasons.push_back(skipped.key.display() + ": " + skipped.reason);
  }
  EXPECT_THAT(reasons,
              testing::IsSupersetOf({HasSubstr("4: column \"body\" holds a BLOB of 2 bytes"),
                                     HasSubstr("5: the text is not valid UTF-8")}));
  const Freshness freshness = store->freshness();
  EXPECT_EQ(freshness.rows, 7U);
  EXPECT_EQ(freshness.fresh, 3U);
  EXPECT_EQ(freshness.empty, 2U);
  EXPECT_EQ(freshness.skipped, 2U);
}

/// Tables of every key form, with names and values out of the ordinary, from one number.
std::string odd_database(std::uint32_t seed) {
  std::uint32_t state = seed * 2654435761U + 1;
  const auto random = [&](std::uint32_t limit) {
    state = state * 1664525U + 1013904223U;
    return (state >> 8) % limit;
  };
  static const std::vector<std::string> kNames{
      "order", "a b",    "x\"y", "[z]", "it's", "gr\xC3\xBC\xC3\x9F", "\xF0\x9F\x98\x80",
      "notes", "select", "t;--", "%s",  "1st"};
  static const std::vector<std::string> kKeys{"k INTEGER PRIMARY KEY",       "k TEXT PRIMARY KEY",
                                              "k TEXT PRIMARY KEY NOT NULL", "k BLOB PRIMARY KEY",
                                              "k REAL PRIMARY KEY",          "k"};
  std::string sql = random(2) == 0 ? "PRAGMA encoding = 'UTF-16';" : "";
  if (random(2) == 0) sql += "PRAGMA journal_mode = wal;";
  if (random(3) == 0) sql += "PRAGMA page_size = 512;";
  sql += "BEGIN;";
  const std::uint32_t tables = 1 + random(4);
  for (std::uint32_t t = 0; t < tables; ++t) {
    const std::string table =
        quote_identifier(kNames[(seed + t * 5) % kNames.size()] + std::to_string(t));
    const std::string column = quote_identifier(kNames[random(12)] + " text");
    const bool keyed = random(5) > 0;
    const std::string& key = kKeys[keyed ? random(5) : 5];
    const bool without_rowid = keyed && random(3) == 0;
    sql += "CREATE TABLE " + table + "(" + key + ", " + column + " TEXT, pad)" +
           (without_rowid ? " WITHOUT ROWID;" : ";");
    const std::uint32_t rows = random(40);
    for (std::uint32_t i = 0; i < rows; ++i) {
      const std::string n = std::to_string(i);
      const std::string value = key.find("BLOB") != std::string::npos
                                    ? "x'" + std::string(i < 10 ? "0" : "") + n + "'"
                                : key.find("REAL") != std::string::npos ? n + ".5"
                                : key.find("TEXT") != std::string::npos
                                    ? "'key " + n + "'"
                                    : std::to_string(static_cast<std::int64_t>(i) * 7 - 20);
      static const std::vector<std::string> kValues{
          "NULL", "''", "x'80'", "7", "CAST(x'e2' AS TEXT)", "char(0)"};
      const std::string text = random(6) == 0
                                   ? kValues[random(6)]
                                   : "'the letter number " + n + " came over the river at noon'";
      sql += "INSERT INTO " + table + " VALUES (" + value + ", " + text + ", " +
             std::to_string(random(100)) + ");";
    }
    if (random(3) == 0)
      sql += "CREATE INDEX i" + std::to_string(t) + " ON " + table + "(" + column +
             " COLLATE NOCASE DESC);";
    if (random(3) == 0)
      sql += "CREATE VIEW v" + std::to_string(t) + " AS SELECT * FROM " + table + ";";
    if (random(3) == 0)
      sql += "CREATE TRIGGER g" + std::to_string(t) + " AFTER INSERT ON " + table +
             " BEGIN DELETE FROM " + table + "; END;";
  }
  return sql + "COMMIT;";
}

TEST_F(UserFileTest, GeneratedOddDatabasesAreEmbeddedAndUnchanged) {
  std::size_t embedded = 0;
  for (std::uint32_t seed = 0; seed < 24; ++seed) {
    std::filesystem::remove_all(folder_ / "app.db.nearlite");
    std::filesystem::remove(file());
    folder_.database("app.db", odd_database(seed));
    const std::string before = sha256_of_file(file());
    const Proposal proposal = index();
    if (proposal.tables.empty()) continue;
    const Registry registry = Registry::of_files(std::array{file()}, settings());
    for (const StoreEntry& entry : registry.entries()) {
      const auto store = registry.open(entry);
      const BackfillResult result = store->backfill_embeddings();
      const Freshness freshness = store->freshness();
      EXPECT_EQ(freshness.fresh, result.embedded) << seed << " " << entry.table;
      EXPECT_EQ(freshness.rows, freshness.fresh + freshness.empty + freshness.skipped)
          << seed << " " << entry.table;
      EXPECT_EQ(freshness.orphan, 0U);
      EXPECT_EQ(store->backfill_embeddings().embedded, 0U) << seed << " " << entry.table;
      if (result.embedded > 0) {
        const auto hits = store->search_records(store->encode_text("letter river noon"), {.k = 3});
        ASSERT_FALSE(hits.hits.empty()) << seed;
        EXPECT_FALSE(hits.hits[0].stale);
        EXPECT_THAT(store->text(hits.hits[0].record), HasSubstr("river"));
      }
      embedded += result.embedded;
    }
    EXPECT_EQ(sha256_of_file(file()), before) << seed;
    EXPECT_THAT(files_beside(), ElementsAre("app.db", "app.db.nearlite")) << seed;
  }
  EXPECT_GT(embedded, 200U);
}

/// Counts pages that one handle reads.
std::int64_t pages_read(sqlite3* db) {
  int now = 0;
  int peak = 0;
  sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_MISS, &now, &peak, 0);
  return now;
}

TEST_F(UserFileTest, OpeningAStoreReadsNoRows) {
  folder_.database("app.db",
                   "CREATE TABLE notes(k TEXT PRIMARY KEY, body TEXT);"
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
                   "INSERT INTO notes SELECT 'key' || i, printf('%.500c', 'x') FROM n");
  class Counted : public TableStore {
   public:
    using TableStore::TableStore;
    std::int64_t pages() const { return pages_read(database()); }
  };
  const TableConfig config{.name = "notes", .database = file(), .table = "notes", .text = {"body"}};
  EmbeddableOptions options = TableStore::options_for(config, folder_.path());
  options.encoder = encoder_;
  EXPECT_LT(Counted(config, options).pages(), 20);  // of about 700
}

}  // namespace
}  // namespace nearlite
