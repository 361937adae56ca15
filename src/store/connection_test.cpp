#include "nearlite/store/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite_test/read_only.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

using std::filesystem::path;

class ConnectionTest : public testing::Test {
 protected:
  path make(const std::string& name, const std::string& sql) {
    Connection db = Connection::open(folder_ / name, true);
    db.execute(sql);
    return folder_ / name;
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  const TemporaryFolder temporary_;
  const path folder_ = temporary_.path();
};

TEST_F(ConnectionTest, ValuesComeBackAsTheyWere) {
  Connection db = Connection::open(folder_ / "x.db", true);
  db.execute("CREATE TABLE t(v)");
  const std::string with_nul("a\0b", 3);
  const std::vector<Value> values{std::monostate{},
                                  std::int64_t{INT64_MIN},
                                  0.1,
                                  with_nul,
                                  std::string(),
                                  Blob{{std::byte{0}, std::byte{255}}},
                                  Blob{}};
  for (const Value& value : values) db.prepare("INSERT INTO t VALUES (?1)").run(value);
  Statement select = db.prepare("SELECT v FROM t ORDER BY rowid");
  for (const Value& value : values) {
    ASSERT_TRUE(select.step());
    EXPECT_EQ(select.value(0), value);
  }
  EXPECT_FALSE(select.step());
}

TEST_F(ConnectionTest, NumbersReadAsSqliteShowsThem) {
  Connection db = Connection::open(folder_ / "x.db", true);
  for (const char* number :
       {"0.1", "1e300", "100.0", "-7", "9223372036854775807", "1e15", "123456789.25"}) {
    Statement cast = db.prepare("SELECT " + std::string(number) + ", CAST(" + number + " AS TEXT)");
    ASSERT_TRUE(cast.step());
    EXPECT_EQ(text_of(cast.value(0)), cast.text(1));
  }
}

TEST_F(ConnectionTest, ATransactionLeftEarlyIsRolledBack) {
  Connection db = Connection::open(folder_ / "x.db", true);
  db.execute("CREATE TABLE t(v)");
  {
    Transaction transaction(db);
    db.execute("INSERT INTO t VALUES (1)");
  }
  Statement count = db.prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(count.step());
  EXPECT_EQ(count.int64(0), 0);
}

TEST_F(ConnectionTest, OddNamesAreQuoted) {
  Connection db = Connection::open(folder_ / "x.db", true);
  const std::string name = "a \"b\" [c]; DROP TABLE t --";
  db.execute("CREATE TABLE " + quote_identifier(name) + "(v)");
  EXPECT_NO_THROW(db.prepare("SELECT v FROM " + quote_identifier(name)));
  EXPECT_THROW(quote_identifier(std::string_view("a\0b", 3)), InvalidArgument);
}

TEST_F(ConnectionTest, ASourceKeepsItsBytesAndItsFolder) {
  for (const char* mode : {"delete", "wal", "persist", "truncate"}) {
    const path file = make("source.db", std::string("PRAGMA journal_mode = ") + mode +
                                            "; CREATE TABLE t(v); INSERT INTO t VALUES ('x')");
    const std::string before = sha256_of_file(file);
    const auto files_before = files();
    {
      const Connection source = Connection::open_source(file);
      Statement select = source.prepare("SELECT v FROM t");
      ASSERT_TRUE(select.step());
      EXPECT_EQ(select.text(0), "x");
    }
    EXPECT_EQ(sha256_of_file(file), before) << mode;
    EXPECT_THAT(files(), testing::UnorderedElementsAreArray(files_before)) << mode;
    std::filesystem::remove(file);
    std::filesystem::remove(file.string() + "-journal");
  }
}

TEST_F(ConnectionTest, TheWalOfARunningOwnerIsReadAndLeftAlone) {
  const path file = folder_ / "live.db";
  Connection owner = Connection::open(file, true);
  owner.execute(
      "PRAGMA journal_mode = wal; CREATE TABLE t(v); INSERT INTO t VALUES ('in the wal')");
  {
    const Connection source = Connection::open_source(file);
    Statement select = source.prepare("SELECT v FROM t");
    ASSERT_TRUE(select.step());
    EXPECT_EQ(select.text(0), "in the wal");
  }
  EXPECT_TRUE(std::filesystem::exists(file.string() + "-wal"));
  owner.execute("INSERT INTO t VALUES ('still works')");
}

TEST_F(ConnectionTest, ACopyWithItsWalIsReadWhereNothingCanBeWritten) {
  const path file = folder_ / "live.db";
  Connection owner = Connection::open(file, true);
  owner.execute(
      "PRAGMA journal_mode = wal; CREATE TABLE t(v); INSERT INTO t VALUES ('in the wal')");
  const path copies = folder_ / "copies";
  std::filesystem::create_directory(copies);
  std::filesystem::permissions(folder_, std::filesystem::perms(0755));
  for (const char* suffix : {"", "-wal"})
    std::filesystem::copy_file(file.string() + suffix, copies / ("copy.db" + std::string(suffix)));
  const std::string before = sha256_of_file(copies / "copy.db-wal");
  EXPECT_TRUE(holds_read_only(copies, [&] {
    const Connection source = Connection::open_source(copies / "copy.db");
    Statement select = source.prepare("SELECT v FROM t");
    return select.step() && select.text(0) == "in the wal";
  }));
  EXPECT_EQ(sha256_of_file(copies / "copy.db-wal"), before);
  EXPECT_FALSE(std::filesystem::exists(copies / "copy.db-shm"));
}

TEST_F(ConnectionTest, ASourceCannotBeWritten) {
  const path file = make("source.db", "CREATE TABLE t(v)");
  Connection source = Connection::open_source(file);
  EXPECT_THROW(source.execute("INSERT INTO t VALUES (1)"), Error);
  EXPECT_THROW(source.execute("PRAGMA user_version = 7"), Error);
}

TEST_F(ConnectionTest, AHotJournalIsRefusedAndNotRolledBack) {
  const path file = make("source.db", "CREATE TABLE t(v); INSERT INTO t VALUES ('old')");
  {  // A copy of file and journal in the middle of a transaction is what a crash leaves.
    Connection writer = Connection::open(file, false);
    writer.execute(
        "PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE t SET v = 'new'; "
        "INSERT INTO t SELECT zeroblob(100000)");
    std::filesystem::copy_file(file, folder_ / "crashed.db");
    std::filesystem::copy_file(file.string() + "-journal", folder_ / "crashed.db-journal");
    writer.execute("ROLLBACK");
  }
  const std::string before = sha256_of_file(folder_ / "crashed.db");
  try {
    Connection::open_source(folder_ / "crashed.db");
    FAIL() << "a hot journal was accepted";
  } catch (const Unavailable& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("hot journal"));
  }
  EXPECT_EQ(sha256_of_file(folder_ / "crashed.db"), before);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "crashed.db-journal"));
}

TEST_F(ConnectionTest, WhatIsNotADatabaseIsNamed) {
  std::ofstream(folder_ / "text.db") << "this is not a database, it only has the name of one";
  EXPECT_THROW(Connection::open_source(folder_ / "text.db"), CorruptData);
  EXPECT_THROW(Connection::open_source(folder_ / "missing.db"), NotFound);
  EXPECT_THROW(Connection::open_source(folder_), CorruptData);
  EXPECT_THROW(Connection::open(folder_ / "missing.db", false), NotFound);
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(Connection::open_source(folder_ / "pipe"), CorruptData);
}

TEST_F(ConnectionTest, AHostileSchemaDoesNothing) {
  const path file = make("source.db",
                         "CREATE TABLE t(v); INSERT INTO t VALUES (1); "
                         "CREATE VIEW w AS SELECT load_extension('/x') AS v");
  const Connection source = Connection::open_source(file);
  EXPECT_THROW(source.prepare("SELECT v FROM w").step(), Error);
}

TEST_F(ConnectionTest, JsonInGeneratedColumnsAndIndexesIsRead) {
  const path file =
      make("source.db",
           "CREATE TABLE t(data TEXT CHECK (json_valid(data)), "
           "title TEXT GENERATED ALWAYS AS (json_extract(data, '$.title')) VIRTUAL);"
           "CREATE INDEX by_kind ON t(data ->> 'kind');"
           "INSERT INTO t(data) VALUES ('{\"title\": \"Tides\", \"kind\": \"sea\"}')");
  const Connection source = Connection::open_source(file);
  Statement select = source.prepare("SELECT title FROM t WHERE data ->> 'kind' = 'sea'");
  ASSERT_TRUE(select.step());
  EXPECT_EQ(select.text(0), "Tides");
}

int calls_of_the_function = 0;

void count_call(sqlite3_context* context, int, sqlite3_value**) {
  ++calls_of_the_function;
  sqlite3_result_int(context, 1);
}

int add_function_of_the_host(sqlite3* db, const char**, const sqlite3_api_routines*) {
  return sqlite3_create_function(db, "send_mail", 0, SQLITE_UTF8, nullptr, count_call, nullptr,
                                 nullptr);
}

TEST_F(ConnectionTest, ASchemaDoesNotCallFunctionsThatTheHostBrought) {
  const path file = make("source.db", "CREATE VIEW w AS SELECT send_mail() AS v");
  const auto extension = reinterpret_cast<void (*)()>(&add_function_of_the_host);
  ASSERT_EQ(sqlite3_auto_extension(extension), SQLITE_OK);
  {
    const Connection source = Connection::open_source(file);
    EXPECT_THROW(source.prepare("SELECT v FROM w").step(), Error);
  }
  sqlite3_cancel_auto_extension(extension);
  EXPECT_EQ(calls_of_the_function, 0);
}

TEST_F(ConnectionTest, ALockedSourceSaysSo) {
  const path file = make("source.db", "CREATE TABLE t(v)");
  Connection owner = Connection::open(file, false);
  owner.execute("PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE");
  EXPECT_THROW(Connection::open_source(file, std::chrono::milliseconds(1)), Unavailable);
}

}  // namespace
}  // namespace nearlite
