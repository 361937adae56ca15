#include "nearlite/databases/table_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/databases/sidecar_folder.h"
#include "sql_condition.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class TableStoreTest : public testing::Test {
 protected:
  EmbeddableOptions options_for(const TableConfig& config) {
    EmbeddableOptions options = TableStore::options_for(config, sidecar_folder_of(config.database));
    create_sidecar_folder(sidecar_folder_of(config.database), config.database);
    options.encoder = encoder_;
    return options;
  }
  TableStore open(TableConfig config) {
    config.database = folder_ / "app.db";
    if (config.name.empty()) config.name = "store";
    return TableStore(config, options_for(config));
  }
  TableStore open(const std::string& table, const std::string& column) {
    return open(TableConfig{.table = table, .text = {column}});
  }
  void make(const std::string& sql) { folder_.database("app.db", sql); }

  static std::vector<std::string> keys_of(const Store& store) {
    std::vector<std::string> keys;
    RecordCursor cursor = store.iter_records();
    for (SourceRecord record; cursor.next(record);) keys.push_back(record.key.json);
    return keys;
  }
  static std::vector<std::string> texts_of(const Store& store) {
    std::vector<std::string> texts;
    RecordCursor cursor = store.iter_records();
    for (SourceRecord record; cursor.next(record);) texts.push_back(store.text(record.record));
    return texts;
  }
  template <typename E, typename Action>
  static std::string message_of(Action action) {
    try {
      action();
    } catch (const E& error) {
      return error.what();
    }
    ADD_FAILURE() << "no such error";
    return {};
  }

  DatabaseFolder folder_;
  std::shared_ptr<const TextEncoder> encoder_ = std::make_shared<WordCountEncoder>();
};

TEST_F(TableStoreTest, AnIntegerKeyIsExact) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);"
      "INSERT INTO t VALUES (0, 'a'), (-5, 'b'), (9223372036854775807, 'c')");
  const TableStore store = open("t", "body");
  EXPECT_THAT(keys_of(store), UnorderedElementsAre("0", "-5", "9223372036854775807"));
  EXPECT_FALSE(store.key().bare_rowid);
}

TEST_F(TableStoreTest, ATextKeyAndTheIntegerOfEqualLooksAreTwoKeys) {
  make("CREATE TABLE t(k PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1, 'a'), ('1', 'b')");
  const TableStore store = open("t", "body");
  EXPECT_THAT(keys_of(store), UnorderedElementsAre("1", "\"1\""));
  RecordCursor cursor = store.iter_records();
  EXPECT_EQ(store.text(cursor.find(RecordKey(std::string_view("1")))->record), "b");
  EXPECT_EQ(store.text(cursor.find(RecordKey(1))->record), "a");
}

TEST_F(TableStoreTest, ACompositeKeyAndAWithoutRowidTableWork) {
  make(
      "CREATE TABLE t(b TEXT, a INTEGER, body TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;"
      "INSERT INTO t VALUES ('x', 1, 'one'), ('y', 1, 'two')");
  const TableStore store = open("t", "body");
  EXPECT_THAT(keys_of(store), ElementsAre("[1,\"x\"]", "[1,\"y\"]"));
  EXPECT_THAT(store.key().columns, ElementsAre("a", "b"));
}

TEST_F(TableStoreTest, ATableWithoutKeyIsKeyedByItsRowidAndMarked) {
  make("CREATE TABLE t(rowid TEXT, body TEXT); INSERT INTO t VALUES ('hides it', 'a')");
  const TableStore store = open("t", "body");
  EXPECT_TRUE(store.key().bare_rowid);
  EXPECT_THAT(store.key().columns, ElementsAre("_rowid_"));
  EXPECT_THAT(keys_of(store), ElementsAre("1"));
  EXPECT_THAT(keys_of(open({.table = "t", .key = {"oid"}, .text = {"body"}})), ElementsAre("1"));
}

TEST_F(TableStoreTest, ColumnsThatHideEveryRowidNameLeaveNoKey) {
  make("CREATE TABLE t(rowid, _rowid_, oid, body); INSERT INTO t VALUES (1, 2, 3, 'a')");
  EXPECT_THAT(message_of<InvalidArgument>([&] { open("t", "body"); }), HasSubstr("have no key"));
  EXPECT_THAT(keys_of(open({.table = "t", .key = {"oid"}, .text = {"body"}})), ElementsAre("3"));
}

TEST_F(TableStoreTest, APrimaryKeyThatHoldsNullGivesWayToTheRowid) {
  make(
      "CREATE TABLE t(k TEXT PRIMARY KEY, body TEXT); INSERT INTO t VALUES (NULL, 'a'), (NULL, "
      "'b')");
  const TableStore store = open("t", "body");
  EXPECT_TRUE(store.key().bare_rowid);
  EXPECT_THAT(keys_of(store), ElementsAre("1", "2"));
}

TEST_F(TableStoreTest, AViewIsKeyedByAColumnThatTellsItsRowsApart) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b');"
      "CREATE VIEW v AS SELECT id AS note_id, upper(body) AS loud FROM t;"
      "CREATE VIEW w AS SELECT body FROM t");
  const TableStore store = open("v", "loud");
  EXPECT_THAT(keys_of(store), ElementsAre("1", "2"));
  EXPECT_THAT(texts_of(store), ElementsAre("A", "B"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { open("w", "body"); }),
              HasSubstr("cannot be told apart; its columns: body"));
  EXPECT_THAT(keys_of(open({.table = "w", .key = {"body"}, .text = {"body"}})),
              UnorderedElementsAre("\"a\"", "\"b\""));
}

TEST_F(TableStoreTest, AKeyThatIsNotUniqueIsShownWithItsFirstDuplicates) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, kind TEXT, body TEXT);"
      "INSERT INTO t(kind, body) VALUES ('x', 'a'), ('x', 'b'), ('y', 'c'), (NULL, 'd'), (NULL, "
      "'e')");
  const TableStore store = open({.table = "t", .key = {"kind"}, .text = {"body"}});
  EXPECT_THAT(message_of<NotFound>([&] { keys_of(store); }),
              HasSubstr("does not differ in each row: NULL in 2 rows, x in 2 rows"));
}

TEST_F(TableStoreTest, AFullTextTableIsReadIfNamedAndItsShadowTablesAreRefused) {
  make("CREATE VIRTUAL TABLE f USING fts5(title, body); INSERT INTO f VALUES ('t', 'b')");
  const TableStore store = open({.table = "f", .text = {"title", "body"}});
  EXPECT_THAT(texts_of(store), ElementsAre("t\nb"));
  EXPECT_TRUE(store.keys_matching("f MATCH 'b' AND title = 't'")(RecordKey(1)));
  EXPECT_FALSE(store.keys_matching("f MATCH 'nothere'")(RecordKey(1)));
  EXPECT_THROW(store.keys_matching("titel = 't'"), NotFound);
  EXPECT_THAT(message_of<InvalidArgument>([&] { open("f_content", "c0"); }),
              HasSubstr("inner data of a virtual table"));
  EXPECT_THROW(open("sqlite_master", "sql"), InvalidArgument);
}

TEST_F(TableStoreTest, GeneratedColumnsAreRead) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, v TEXT AS (a || '!') VIRTUAL, "
      "s TEXT AS (a || '?') STORED); INSERT INTO t(a) VALUES ('x')");
  EXPECT_THAT(texts_of(open({.table = "t", .text = {"v", "s"}})), ElementsAre("x!\nx?"));
}

TEST_F(TableStoreTest, OddNamesWork) {
  const std::string long_name(1000, 'n');
  for (const std::string& name :
       {std::string("order"), std::string("a b"), std::string("x\"y"), std::string("[z]"),
        std::string("it's"), std::string("\xF0\x9F\x98\x80"), std::string("t; DROP TABLE x"),
        std::string("id) --"), long_name, std::string("?1"), std::string("rowid")}) {
    std::filesystem::remove(folder_ / "app.db");
    const std::string quoted = quote_identifier(name);
    make("CREATE TABLE " + quoted + "(" + quote_identifier("k" + name) + " TEXT PRIMARY KEY, " +
         quoted + " TEXT); INSERT INTO " + quoted + " VALUES ('key', 'text of it')");
    const TableStore store = open(name, name);
    EXPECT_THAT(keys_of(store), ElementsAre("\"key\"")) << name;
    EXPECT_THAT(texts_of(store), ElementsAre("text of it")) << name;
    RecordCursor cursor = store.iter_records();
    EXPECT_TRUE(cursor.find(RecordKey(std::string_view("key"))).has_value()) << name;
    EXPECT_TRUE(store.keys_matching(quoted + " LIKE 'text%'")(RecordKey(std::string_view("key"))));
  }
}

TEST_F(TableStoreTest, TextIsTheColumnsThatSaySomething) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c);"
      "INSERT INTO t VALUES (1, 'one', NULL, 'three'), (2, ' ', '', NULL), (3, 0.5, 7, "
      "'2026-11-20')");
  EXPECT_THAT(texts_of(open({.table = "t", .text = {"a", "b", "c"}})),
              ElementsAre("one\nthree", "", "0.5\n7\n2026-11-20"));
}

TEST_F(TableStoreTest, ATemplateIsFilledIn) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b);"
      "INSERT INTO t VALUES (1, 'x', 'y'), (2, 'x', NULL), (3, NULL, NULL)");
  EXPECT_THAT(texts_of(open({.table = "t", .text_template = "{a}: {b} {{id}}"})),
              ElementsAre("x: y {id}", "x:  {id}", ""));
  for (const char* wrong : {"{a", "a}", "no column"}) {
    EXPECT_THROW(open({.table = "t", .text_template = wrong}), InvalidArgument) << wrong;
  }
  EXPECT_THAT(message_of<NotFound>([&] { open({.table = "t", .text_template = "{aa}"}); }),
              HasSubstr("did you mean \"a\"?"));
}

TEST_F(TableStoreTest, NulInsideTextIsKeptAndABlobIsNamed) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);"
      "INSERT INTO t VALUES (1, 'a' || char(0) || 'b'), (2, x'00ff')");
  const TableStore store = open("t", "body");
  RecordCursor cursor = store.iter_records();
  EXPECT_EQ(store.text(cursor.find(RecordKey(1))->record), std::string("a\0b", 3));
  const Record blob = cursor.find(RecordKey(2))->record;
  EXPECT_THAT(message_of<InvalidArgument>([&] { store.text(blob); }),
              HasSubstr("column \"body\" holds a BLOB of 2 bytes"));
}

TEST_F(TableStoreTest, AUtf16DatabaseReadsTheSame) {
  for (const char* encoding : {"UTF-16le", "UTF-16be"}) {
    std::filesystem::remove(folder_ / "app.db");
    make(std::string("PRAGMA encoding = '") + encoding +
         "'; CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);"
         "INSERT INTO t VALUES (1, 'gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80')");
    EXPECT_THAT(texts_of(open("t", "body")), ElementsAre("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"));
  }
}

TEST_F(TableStoreTest, WhereChoosesTheRows) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, section TEXT, body TEXT);"
      "INSERT INTO t VALUES (1, 'web', 'a'), (2, 'old', 'b'), (3, 'web', 'c')");
  const TableStore store =
      open({.table = "t", .text = {"body"}, .where = "section = 'web' -- only"});
  EXPECT_THAT(keys_of(store), ElementsAre("1", "3"));
  RecordCursor cursor = store.iter_records();
  EXPECT_FALSE(cursor.find(RecordKey(2)).has_value());
}

TEST_F(TableStoreTest, AConditionCanOnlyRead) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1, 'a')");
  const std::string before = sha256_of_file(folder_ / "app.db");
  const TableStore store = open("t", "body");
  for (const char* where :
       {"1); DELETE FROM t; --", "1; DROP TABLE t", "", "   ", "1) UNION SELECT id FROM t WHERE (1",
        "1)", "(1", "'open", "/* open", "id = ?", "id = :x", "load_extension('/x')",
        "id IN (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r)",
        "1 IN (SELECT 1 FROM pragma_journal_mode('wal'))",
        "1 IN (SELECT 1 FROM pragma_journal_mode)", "id ="}) {
    EXPECT_THROW(store.keys_matching(where), InvalidArgument) << where;
    if (std::string_view(where).find_first_not_of(' ') == std::string_view::npos) continue;
    EXPECT_THROW(open({.table = "t", .text = {"body"}, .where = where}), InvalidArgument) << where;
  }
  EXPECT_THAT(message_of<NotFound>([&] { store.keys_matching("bodi = 'a'"); }),
              HasSubstr("did you mean body?"));
  EXPECT_THROW(store.keys_matching("\"bodi\" = 'a'"),
               NotFound);  // SQLite would take it for a string
  EXPECT_EQ(sha256_of_file(folder_ / "app.db"), before);
}

TEST_F(TableStoreTest, AConditionThatTakesTooLongIsStopped) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
      "INSERT INTO t SELECT i, 'x' FROM n");
  const Connection db = Connection::open_source(folder_ / "app.db");
  const std::vector<ConditionSource> sources{{read_table(db, "t"), {"id"}, ""}};
  const std::string endless = "(SELECT count(*) FROM t a, t b, t c WHERE a.body <> b.body) = t.id";
  EXPECT_THROW(keys_where(folder_ / "app.db", sources, endless, std::chrono::milliseconds(20)),
               Unavailable);
}

TEST_F(TableStoreTest, AConditionFiltersKeys) {
  make(
      "CREATE TABLE t(k TEXT PRIMARY KEY, size INTEGER, body TEXT);"
      "INSERT INTO t VALUES ('a', 1, 'x'), ('b', 2, 'x'), ('c;)', 3, 'it''s; (odd')");
  const TableStore store = open("t", "body");
  const auto matches = store.keys_matching("size > 1 AND k <> 'b' OR body = 'it''s; (odd'");
  EXPECT_TRUE(matches(RecordKey(std::string_view("c;)"))));
  EXPECT_FALSE(matches(RecordKey(std::string_view("a"))));
  EXPECT_FALSE(matches(RecordKey(std::string_view("b"))));
}

TEST_F(TableStoreTest, UnknownTablesAndColumnsAreAnsweredWithTheNearestOnes) {
  make("CREATE TABLE package(id INTEGER PRIMARY KEY, description TEXT)");
  EXPECT_THAT(message_of<NotFound>([&] { open("packages", "description"); }),
              HasSubstr("did you mean \"package\"? Tables: package"));
  EXPECT_THAT(message_of<NotFound>([&] { open("package", "desciption"); }),
              HasSubstr("did you mean \"description\"?"));
  EXPECT_THAT(message_of<NotFound>(
                  [&] { open({.table = "package", .key = {"no"}, .text = {"description"}}); }),
              HasSubstr("no key column \"no\""));
  EXPECT_THROW(open({.table = "package", .text = {"description"}, .updated = "when"}), NotFound);
  EXPECT_THROW(open({.table = "package", .text = {"description"}, .expose = {"what"}}), NotFound);
  folder_.write("empty.db", "");
  EXPECT_THAT(message_of<NotFound>([&] {
                TableConfig config{
                    .name = "x", .database = folder_ / "empty.db", .table = "t", .text = {"a"}};
                TableStore(config, options_for(config));
              }),
              HasSubstr("no tables"));
}

TEST_F(TableStoreTest, ShownFieldsAreKeyAndTextOrWhatIsExposed) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT); INSERT INTO t VALUES (1, "
      "'x', 'y', 'z')");
  EXPECT_THAT(open({.table = "t", .text = {"a", "b"}}).shown_fields(), ElementsAre("id", "a", "b"));
  const TableStore store = open({.table = "t", .text = {"a"}, .expose = {"C"}});
  EXPECT_THAT(store.shown_fields(), ElementsAre("c"));
  EXPECT_EQ(store.iter_records().find(RecordKey(1))->record.get("c"), "z");
  EXPECT_EQ(store.read_fields(RecordKey(1), {"b"}).get("b"), "y");
  EXPECT_THAT(store.read_fields(RecordKey(7), {"b"}).fields(), IsEmpty());
  EXPECT_THROW(store.read_fields(RecordKey(1), {"bb"}), NotFound);
}

TEST_F(TableStoreTest, AMissingModuleOrCollationIsNamed) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1, 'a');"
      "PRAGMA writable_schema = ON;"
      "INSERT INTO sqlite_master(type, name, tbl_name, rootpage, sql) VALUES ('table', 'm', 'm', "
      "0, "
      "'CREATE VIRTUAL TABLE m USING nothere(x)')");
  EXPECT_THAT(message_of<NotFound>([&] { open("m", "x"); }), HasSubstr("nothere"));
  EXPECT_THAT(texts_of(open("t", "body")), ElementsAre("a"));
}

TEST_F(TableStoreTest, AKeyWithACollationThatIsMissingIsNamedAndTheRowidWorks) {
  make(
      "CREATE TABLE t(k TEXT PRIMARY KEY, body TEXT); INSERT INTO t VALUES ('x', 'a');"
      "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = "
      "'CREATE TABLE t(k TEXT COLLATE nothere PRIMARY KEY, body TEXT)' WHERE name = 't'");
  EXPECT_THAT(message_of<NotFound>([&] { open("t", "body"); }), HasSubstr("nothere"));
  EXPECT_THAT(texts_of(open({.table = "t", .key = {"rowid"}, .text = {"body"}})), ElementsAre("a"));
}

TEST_F(TableStoreTest, AFileThatIsReplacedIsNoticed) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1, 'a')");
  const TableStore store = open("t", "body");
  RecordCursor cursor = store.iter_records();
  folder_.database("new.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT)");
  std::filesystem::rename(folder_ / "new.db", folder_ / "app.db");
  SourceRecord record;
  EXPECT_THROW(while (cursor.next(record)){}, Unavailable);
  EXPECT_THROW(store.iter_records(), Unavailable);
}

TEST_F(TableStoreTest, AHostileSchemaDoesNothing) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t VALUES (1, 'a');"
      "CREATE TABLE log(x);"
      "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END;"
      "CREATE VIEW v AS SELECT 1 AS id, load_extension('/tmp/x.so') AS body;"
      "CREATE VIEW loop AS SELECT id, body FROM loop2; CREATE VIEW loop2 AS SELECT * FROM loop");
  const std::string before = sha256_of_file(folder_ / "app.db");
  EXPECT_ANY_THROW(texts_of(open("v", "body")));
  EXPECT_ANY_THROW(open("loop", "body"));
  EXPECT_THAT(texts_of(open("t", "body")), ElementsAre("a"));
  EXPECT_EQ(sha256_of_file(folder_ / "app.db"), before);
}

TEST_F(TableStoreTest, TheSidecarFolderIsOfTheOwnerOfTheDatabaseAndHidesItself) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY)");
  std::filesystem::permissions(folder_ / "app.db", std::filesystem::perms(0640));
  const auto sidecar = sidecar_folder_of(folder_ / "app.db");
  create_sidecar_folder(sidecar, folder_ / "app.db");
  create_sidecar_folder(sidecar, folder_ / "app.db");  // a second time changes nothing
  EXPECT_EQ(sidecar, folder_ / "app.db.nearlite");
  EXPECT_EQ(std::filesystem::status(sidecar).permissions(), std::filesystem::perms(0750));
  EXPECT_EQ(read_file(sidecar / ".gitignore"), "*\n");
  EXPECT_THROW(create_sidecar_folder(folder_ / "x.nearlite", folder_ / "missing.db"), NotFound);
  folder_.write("file.db.nearlite", "in the way");
  EXPECT_THROW(create_sidecar_folder(folder_ / "file.db.nearlite", folder_ / "app.db"),
               CorruptData);
}

TEST_F(TableStoreTest, ARenamedDatabaseFindsItsSidecarAgain) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT)");
  const auto sidecar = sidecar_folder_of(folder_ / "app.db");
  create_sidecar_folder(sidecar, folder_ / "app.db");
  add_store(sidecar_config(sidecar),
            {.name = "t", .database = folder_ / "app.db", .table = "t", .text = {"body"}},
            ConfigPlace::kSidecar);
  folder_.database("other.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT)");
  EXPECT_EQ(find_sidecar_folder(folder_ / "other.db"), folder_ / "other.db.nearlite");
  std::filesystem::rename(folder_ / "app.db", folder_ / "renamed.db");
  EXPECT_EQ(find_sidecar_folder(folder_ / "renamed.db"), sidecar);
  EXPECT_EQ(find_sidecar_folder(folder_ / "other.db"), folder_ / "other.db.nearlite");
}

TEST_F(TableStoreTest, ALinkLeadsToTheSidecarOfTheFileItself) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT)");
  std::filesystem::create_directory(folder_ / "links");
  const auto link = folder_ / "links" / "shortcut.db";
  std::filesystem::create_symlink(folder_ / "app.db", link);
  EXPECT_EQ(find_sidecar_folder(link),
            sidecar_folder_of(std::filesystem::canonical(folder_ / "app.db")));
  // What was recorded for the link itself stays in use.
  const auto own = sidecar_folder_of(link);
  create_sidecar_folder(own, link);
  add_store(sidecar_config(own), {.name = "t", .database = link, .table = "t", .text = {"body"}},
            ConfigPlace::kSidecar);
  EXPECT_EQ(find_sidecar_folder(link), own);
}

}  // namespace
}  // namespace nearlite
