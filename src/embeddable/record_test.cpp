#include "nearlite/embeddable/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

class RecordTest : public testing::Test {
 protected:
  RecordTest() : db_(Connection::open(":memory:", true)) {}
  std::vector<std::string> walk(const std::string& select, const QueryOptions& options = {}) {
    RecordCursor cursor = query_records(db_.handle(), select, options);
    std::vector<std::string> keys;
    SourceRecord record;
    while (cursor.next(record)) keys.push_back(record.key.json);
    EXPECT_EQ(cursor.count(), keys.size());
    return keys;
  }
  Connection db_;
};

TEST(RecordKeyTest, TextAndNumberDiffer) {
  EXPECT_EQ(RecordKey(1).json, "1");
  EXPECT_EQ(RecordKey(std::string_view("1")).json, "\"1\"");
  EXPECT_NE(RecordKey(1), RecordKey(std::string_view("1")));
  EXPECT_EQ(RecordKey(INT64_MIN).json, "-9223372036854775808");
}

TEST(RecordKeyTest, EveryKindOfKeySurvivesTheRoundTrip) {
  const std::vector<std::vector<Value>> keys{{std::int64_t{INT64_MAX}},
                                             {std::int64_t{INT64_MIN}},
                                             {std::string("a\"b\nc")},
                                             {std::string()},
                                             {std::int64_t{1}, std::string("a")},
                                             {0.5},
                                             {Blob{{std::byte{1}, std::byte{255}}}},
                                             {std::string("a\0b", 3)}};
  for (const auto& values : keys) EXPECT_EQ(RecordKey::of(values).values(), values);
  EXPECT_EQ(RecordKey::of(std::vector<Value>{std::int64_t{1}, std::string("a")}).json,
            R"([1,"a"])");
}

TEST(RecordKeyTest, WhatIsNoKeyIsRefused) {
  EXPECT_THROW(RecordKey::of({}), InvalidArgument);
  EXPECT_THROW(RecordKey::of(std::vector<Value>{std::monostate{}}), InvalidArgument);
  EXPECT_THROW(RecordKey(std::string_view("\xff")), InvalidArgument);
  RecordKey key;
  for (const char* json :
       {"", "nul", "true", "{\"a\":1}", "[null]", "18446744073709551615", "{\"blob\":\"0x\"}"}) {
    key.json = json;
    EXPECT_THROW(key.values(), InvalidArgument) << json;
  }
}

TEST(RecordKeyTest, IsShownAsPeopleTypeIt) {
  EXPECT_EQ(RecordKey(7).display(), "7");
  EXPECT_EQ(RecordKey(std::string_view("abc")).display(), "abc");
  EXPECT_EQ(RecordKey::of(std::vector<Value>{std::int64_t{7}}, "telemetry").display(),
            "telemetry:7");
}

TEST_F(RecordTest, RowsComeInTheOrderOfTheKeyAndInSlices) {
  db_.execute(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); "
      "WITH RECURSIVE n(i) AS (SELECT -1500 UNION ALL SELECT i + 1 FROM n WHERE i < 1499) "
      "INSERT INTO t SELECT i, 'v' || i FROM n");
  const auto keys = walk("SELECT id, v FROM t;");
  ASSERT_EQ(keys.size(), 3000U);
  EXPECT_EQ(keys.front(), "-1500");
  EXPECT_EQ(keys.back(), "1499");
  EXPECT_EQ(std::set(keys.begin(), keys.end()).size(), 3000U);
}

TEST_F(RecordTest, AWriterIsNotShutOutBetweenSlices) {
  db_.execute(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); "
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
      "INSERT INTO t SELECT i, 'v' FROM n");
  RecordCursor cursor = query_records(db_.handle(), "SELECT id, v FROM t", {});
  SourceRecord record;
  ASSERT_TRUE(cursor.next(record));
  db_.execute(
      "DROP TABLE IF EXISTS other; CREATE TABLE other(x)");  // refused while a statement reads
  db_.execute("DELETE FROM t WHERE id > 2000");
  std::size_t count = 1;
  while (cursor.next(record)) ++count;
  EXPECT_EQ(count, 2000U);
}

TEST_F(RecordTest, RowsAppendedMeanwhileAreForTheNextTime) {
  db_.execute(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
      "INSERT INTO t SELECT i, 'x' FROM n");
  RecordCursor cursor = query_records(db_.handle(), "SELECT id, body FROM t", {});
  SourceRecord record;
  std::size_t rows = 0;
  // Faster than they are read: two for each one.
  while (rows < 10'000 && cursor.next(record)) {
    ++rows;
    db_.execute("INSERT INTO t(body) VALUES ('y'), ('z')");
  }
  EXPECT_EQ(rows, 2500U);
}

TEST_F(RecordTest, CompositeAndTextKeysAndTablesWithoutRowid) {
  db_.execute(
      "CREATE TABLE c(a INTEGER, b TEXT, v, PRIMARY KEY(a, b)) WITHOUT ROWID; "
      "INSERT INTO c VALUES (2,'x',0), (1,'y',0), (1,'x',0); "
      "CREATE TABLE s(k TEXT PRIMARY KEY, v); INSERT INTO s VALUES ('b',0), ('a',0)");
  EXPECT_THAT(walk("SELECT a, b, v FROM c", {.num_key_columns = 2}),
              testing::ElementsAre(R"([1,"x"])", R"([1,"y"])", R"([2,"x"])"));
  EXPECT_THAT(walk("SELECT k, v FROM s"), testing::ElementsAre("\"a\"", "\"b\""));
}

TEST_F(RecordTest, AViewWithoutAnIndexIsReadAsItComes) {
  db_.execute(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'b'), (2,'a'); "
      "CREATE VIEW w AS SELECT upper(v) AS k, group_concat(id) AS ids FROM t GROUP BY v ORDER BY k "
      "DESC");
  EXPECT_THAT(walk("SELECT k, ids FROM w"), testing::ElementsAre("\"B\"", "\"A\""));
}

TEST_F(RecordTest, FindGivesTheRowAsItIsNow) {
  db_.execute(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n REAL); INSERT INTO t VALUES (1, 'a', "
      "NULL)");
  RecordCursor cursor =
      query_records(db_.handle(), "SELECT id, v, n FROM t", {.kind = "k", .table = "t2"});
  RecordKey key(1);
  EXPECT_FALSE(cursor.find(key)) << "a key of another table";
  key.table = "t2";
  EXPECT_EQ(cursor.find(key)->record.get("v"), "a");
  EXPECT_EQ(cursor.find(key)->kind, "k");
  db_.execute("UPDATE t SET v = 'b'");
  EXPECT_EQ(cursor.find(key)->record.get("v"), "b");
  EXPECT_EQ(cursor.find(key)->record.get("n"), "");
  db_.execute("DELETE FROM t");
  EXPECT_FALSE(cursor.find(key));
  RecordKey text(std::string_view("1"));
  text.table = "t2";
  EXPECT_FALSE(cursor.find(text)) << "'1' is not 1";
}

TEST_F(RecordTest, WhatCouldWriteIsRefused) {
  db_.execute("CREATE TABLE t(id INTEGER PRIMARY KEY)");
  for (const char* sql :
       {"DELETE FROM t", "SELECT id FROM t; DELETE FROM t", "", "SELECT 1 AS a; SELECT 2"}) {
    EXPECT_THROW(query_records(db_.handle(), sql, {}), InvalidArgument) << sql;
  }
  EXPECT_THROW(query_records(db_.handle(), "SELECT nope FROM t", {}), StoreError);
  EXPECT_THROW(query_records(db_.handle(), "SELECT id FROM t", {.num_key_columns = 2}),
               InvalidArgument);
}

TEST_F(RecordTest, AKeyThatIsNullIsNamed) {
  db_.execute("CREATE TABLE t(k TEXT, v); INSERT INTO t VALUES (NULL, 1)");
  RecordCursor cursor = query_records(db_.handle(), "SELECT k, v FROM t", {});
  SourceRecord record;
  EXPECT_THROW(cursor.next(record), CorruptData);
}

TEST_F(RecordTest, CursorsCanBeChained) {
  std::vector<RecordCursor> cursors;
  cursors.push_back(RecordCursor::of({{RecordKey(1), Record(), "a", ""}}));
  cursors.push_back(
      RecordCursor::of({{RecordKey(2), Record(), "b", ""}, {RecordKey(3), Record(), "b", ""}}));
  RecordCursor chain = RecordCursor::chain(std::move(cursors));
  EXPECT_EQ(chain.count(), 3U);
  EXPECT_EQ(chain.find(RecordKey(3))->kind, "b");
  SourceRecord record;
  std::string kinds;
  while (chain.next(record)) kinds += record.kind;
  EXPECT_EQ(kinds, "abb");
}

}  // namespace
}  // namespace nearlite
