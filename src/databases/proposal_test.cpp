#include "nearlite/databases/proposal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "column_profile.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Sentences that differ, from a fixed list of words.
std::string sentence(int number, int words) {
  static const std::vector<std::string> kWords{
      "the",    "upload", "of",     "large",  "files",  "fails",   "after", "update", "garden",
      "winter", "recipe", "with",   "butter", "and",    "history", "river", "python", "engine",
      "train",  "letter", "reader", "small",  "window", "opens",   "slow",  "network"};
  std::string text = "Item " + std::to_string(number);
  for (int i = 0; i < words; ++i) {
    text += " " + kWords[static_cast<std::size_t>(number * 7 + i * 11) % kWords.size()];
  }
  return text;
}

class ProposalTest : public testing::Test {
 protected:
  void make(const std::string& schema) { folder_.database("app.db", schema); }
  /// One INSERT per number from 1 to `count`.
  void fill(int count, const std::function<std::string(int)>& insert) {
    Connection db = Connection::open(folder_ / "app.db", false);
    Transaction transaction(db);
    for (int i = 1; i <= count; ++i) db.execute(insert(i));
    transaction.commit();
  }
  Proposal proposal(const ProposalOptions& options = {}) {
    const Connection db = Connection::open_source(folder_ / "app.db");
    return propose(db, folder_ / "app.db", options);
  }
  /// table:column,column of each store proposed, most text first.
  std::vector<std::string> proposed(const ProposalOptions& options = {}) {
    std::vector<std::string> lines;
    for (const ProposedTable& table : proposal(options).tables) {
      lines.push_back(table.config.table + ":" + join_names(table.config.text, ","));
    }
    return lines;
  }
  std::string reason_for(const std::string& table, const std::string& column) {
    for (const LeftOut& left : proposal().left_out) {
      if (left.table == table && left.column == column) return left.reason;
    }
    return "(not left out)";
  }

  DatabaseFolder folder_;
};

std::string quoted(const std::string& text) { return "'" + text + "'"; }

TEST_F(ProposalTest, ANotesApp) {
  make(
      "CREATE TABLE notes(id INTEGER PRIMARY KEY, uuid TEXT, title TEXT, body TEXT, created_at "
      "TEXT, "
      "folder_id INTEGER, color TEXT);"
      "CREATE TABLE folders(id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
      "CREATE TABLE note_tags(note_id INTEGER, tag_id INTEGER, PRIMARY KEY(note_id, tag_id));"
      "CREATE TABLE android_metadata(locale TEXT);"
      "CREATE VIRTUAL TABLE notes_fts USING fts5(title, body, content='notes', content_rowid='id');"
      "INSERT INTO folders VALUES (1, 'Work'), (2, 'Home');"
      "INSERT INTO tags VALUES (1, 'todo'), (2, 'idea'), (3, 'later');"
      "INSERT INTO android_metadata VALUES ('en_US')");
  fill(60, [](int i) {
    return "INSERT INTO notes VALUES (" + std::to_string(i) + ", 'c0ffee00-0000-4000-8000-" +
           std::to_string(100000000000 + i) + "', " + quoted(sentence(i, 3)) + ", " +
           quoted(sentence(i, 40)) + ", '2026-11-20T10:00:00Z', 1, '#ff00" +
           std::to_string(10 + i % 80) + "')";
  });
  EXPECT_THAT(proposed(), ElementsAre("notes:title,body"));
  const ProposedTable table = proposal().tables[0];
  EXPECT_EQ(table.config.name, "notes");
  EXPECT_THAT(table.config.key, ElementsAre("id"));
  EXPECT_EQ(table.rows, 60U);
  EXPECT_GT(table.tokens, 60U * 40U);
  EXPECT_LT(table.tokens, 60U * 80U);
  EXPECT_EQ(table.reason, "text that people wrote");
  EXPECT_EQ(table.columns[1].name, "body");
  EXPECT_EQ(table.columns[1].reason, "text, 42 words on average");
  EXPECT_EQ(reason_for("notes", "uuid"), "an id, by its name");
  EXPECT_EQ(reason_for("notes", "created_at"), "dates or times");
  EXPECT_EQ(reason_for("android_metadata", ""), "migration table");
  EXPECT_THAT(reason_for("notes_fts", ""), HasSubstr("virtual table"));
  EXPECT_EQ(reason_for("notes_fts_data", ""), "inner data of a virtual table");
}

TEST_F(ProposalTest, ADjangoSite) {
  make(
      "CREATE TABLE auth_user(id INTEGER PRIMARY KEY, password VARCHAR(128), last_login DATETIME, "
      "username VARCHAR(150), first_name VARCHAR(150), last_name VARCHAR(150), email VARCHAR(254), "
      "is_staff BOOL);"
      "CREATE TABLE django_migrations(id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied "
      "DATETIME);"
      "CREATE TABLE django_session(session_key VARCHAR(40) PRIMARY KEY, session_data TEXT, "
      "expire_date DATETIME);"
      "CREATE TABLE django_content_type(id INTEGER PRIMARY KEY, app_label TEXT, model TEXT);"
      "CREATE TABLE auth_permission(id INTEGER PRIMARY KEY, name VARCHAR(255), codename "
      "VARCHAR(100));"
      "CREATE TABLE authtoken_token(key VARCHAR(40) PRIMARY KEY, user_id INTEGER);"
      "CREATE TABLE blog_post(id INTEGER PRIMARY KEY, slug VARCHAR(50), title VARCHAR(200), body "
      "TEXT, "
      "published DATETIME, author_id INTEGER);"
      "CREATE TABLE blog_comment(id INTEGER PRIMARY KEY, post_id INTEGER, text TEXT, ip_address "
      "CHAR(39));"
      "INSERT INTO auth_permission VALUES (1, 'Can add log entry', 'add_logentry'), (2, 'Can view "
      "post entry here', 'view_post')");
  fill(50, [](int i) {
    const std::string n = std::to_string(i);
    return "INSERT INTO auth_user VALUES (" + n + ", 'pbkdf2_sha256$600000$abc$" + n +
           "=', NULL, 'user" + n + "', 'Ann', 'Lee" + n + "', 'u" + n +
           "@example.org', 0);"
           "INSERT INTO django_migrations VALUES (" +
           n + ", 'blog', '000" + n +
           "_initial change of things', '2026-01-01');"
           "INSERT INTO django_session VALUES ('key" +
           n +
           "', 'some words that look like text here', '2026-01-01');"
           "INSERT INTO blog_post VALUES (" +
           n + ", 'item-" + n + "', " + quoted(sentence(i, 4)) + ", " + quoted(sentence(i, 120)) +
           ", '2026-01-01 10:00:00', 1);"
           "INSERT INTO blog_comment VALUES (" +
           n + ", " + n + ", " + quoted(sentence(i, 15)) + ", '10.0.0." + n + "')";
  });
  EXPECT_THAT(proposed(), ElementsAre("blog_post:title,body", "blog_comment:text"));
  EXPECT_EQ(reason_for("auth_user", "password"), "a credential, by its name");
  EXPECT_EQ(reason_for("auth_user", "email"), "mail addresses, by its name");
  EXPECT_EQ(reason_for("django_migrations", ""), "migration table");
  EXPECT_EQ(reason_for("django_session", ""), "session table");
  EXPECT_EQ(reason_for("authtoken_token", ""), "credentials, by its name");
}

TEST_F(ProposalTest, ABrowserHistory) {
  make(
      "CREATE TABLE moz_places(id INTEGER PRIMARY KEY, url LONGVARCHAR, title LONGVARCHAR, "
      "rev_host LONGVARCHAR, "
      "visit_count INTEGER DEFAULT 0, frecency INTEGER, guid TEXT, description TEXT, "
      "preview_image_url TEXT);"
      "CREATE TABLE moz_bookmarks(id INTEGER PRIMARY KEY, type INTEGER, fk INTEGER, title "
      "LONGVARCHAR, guid TEXT);"
      "CREATE TABLE moz_historyvisits(id INTEGER PRIMARY KEY, place_id INTEGER, visit_date "
      "INTEGER);"
      "CREATE TABLE moz_origins(id INTEGER PRIMARY KEY, prefix TEXT, host TEXT, frecency INTEGER);"
      "CREATE TABLE moz_meta(key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"
      "INSERT INTO moz_meta VALUES ('origin_frecency_count', 12)");
  fill(80, [](int i) {
    const std::string n = std::to_string(i);
    return "INSERT INTO moz_places VALUES (" + n + ", 'https://example.org/" + n + "', " +
           quoted(sentence(i, 5)) + ", 'gro.elpmaxe" + n + ".', 3, 100, 'aBcDeF12345" + n + "', " +
           (i % 3 == 0 ? quoted(sentence(i, 20)) : "NULL") +
           ", NULL);"
           "INSERT INTO moz_bookmarks VALUES (" +
           n + ", 1, " + n + ", " + quoted(sentence(i, 3)) + ", 'xYz" + n +
           "');"
           "INSERT INTO moz_historyvisits VALUES (" +
           n + ", " + n +
           ", 1700000000000000);"
           "INSERT INTO moz_origins VALUES (" +
           n + ", 'https://', 'www.host" + n + ".org', 5)";
  });
  EXPECT_THAT(proposed(), ElementsAre("moz_places:title,description", "moz_bookmarks:title"));
  EXPECT_EQ(reason_for("moz_places", "url"), "an address or path, by its name");
  EXPECT_EQ(reason_for("moz_places", "rev_host"), "an address or path, by its name");
  EXPECT_EQ(reason_for("moz_historyvisits", ""), "no text that people wrote");
}

TEST_F(ProposalTest, ABookLibrary) {
  make(
      "CREATE TABLE books(id INTEGER PRIMARY KEY, title TEXT, sort TEXT, timestamp TIMESTAMP, "
      "pubdate TIMESTAMP, "
      "series_index REAL, author_sort TEXT, isbn TEXT, path TEXT, uuid TEXT, has_cover BOOL);"
      "CREATE TABLE comments(id INTEGER PRIMARY KEY, book INTEGER NOT NULL, text TEXT NOT NULL "
      "COLLATE NOCASE);"
      "CREATE TABLE authors(id INTEGER PRIMARY KEY, name TEXT, sort TEXT, link TEXT);"
      "CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT);"
      "CREATE TABLE data(id INTEGER PRIMARY KEY, book INTEGER, format TEXT, uncompressed_size "
      "INTEGER, name TEXT);"
      "CREATE TABLE preferences(id INTEGER PRIMARY KEY, key TEXT, val TEXT);"
      "CREATE VIEW meta AS SELECT id, title FROM books");
  fill(40, [](int i) {
    const std::string n = std::to_string(i);
    return "INSERT INTO books VALUES (" + n + ", " + quoted(sentence(i, 3)) + ", " +
           quoted(sentence(i, 3)) +
           ", '2026-01-01 00:00:00+00:00', '2001-01-01', 1.0, 'Lee, Ann', '9781234567" +
           std::to_string(100 + i) + "', 'Ann Lee/Title (" + n + ")', 'aaaaaaaa-bbbb-4ccc-8ddd-" +
           std::to_string(100000000000 + i) +
           "', 1);"
           "INSERT INTO comments VALUES (" +
           n + ", " + n + ", '<p>" + sentence(i, 60) +
           "</p>');"
           "INSERT INTO authors VALUES (" +
           n + ", 'Ann Lee" + n +
           "', 'Lee, Ann', '');"
           "INSERT INTO data VALUES (" +
           n + ", " + n +
           ", 'EPUB', 1000, 'Title - Ann Lee');"
           "INSERT INTO preferences VALUES (" +
           n + ", 'setting " + n + "', '{\"a\": " + n + "}')";
  });
  EXPECT_THAT(proposed(), ElementsAre("comments:text", "books:title"));
  EXPECT_EQ(reason_for("books", "sort"), "a sorting form, by its name");
  EXPECT_EQ(reason_for("authors", ""), "only short names");
  EXPECT_EQ(reason_for("meta", ""), "a view; name it to embed it");
  EXPECT_EQ(reason_for("preferences", "val"), "structured data (JSON)");
}

TEST_F(ProposalTest, AReferenceManager) {
  make(
      "CREATE TABLE items(itemID INTEGER PRIMARY KEY, itemTypeID INT, dateAdded TIMESTAMP, key "
      "TEXT);"
      "CREATE TABLE itemData(itemID INT, fieldID INT, valueID INT, PRIMARY KEY(itemID, fieldID));"
      "CREATE TABLE itemDataValues(valueID INTEGER PRIMARY KEY, value UNIQUE);"
      "CREATE TABLE itemNotes(itemID INTEGER PRIMARY KEY, parentItemID INT, note TEXT, title TEXT);"
      "CREATE TABLE itemAttachments(itemID INTEGER PRIMARY KEY, contentType TEXT, path TEXT, "
      "storageHash TEXT);"
      "CREATE TABLE creators(creatorID INTEGER PRIMARY KEY, firstName TEXT, lastName TEXT);"
      "CREATE TABLE syncedSettings(setting TEXT, libraryID INT, value, PRIMARY KEY(setting, "
      "libraryID));"
      "CREATE TABLE version(schema TEXT PRIMARY KEY, version INT NOT NULL)");
  fill(90, [](int i) {
    const std::string n = std::to_string(i);
    const std::string value = i % 3 == 0 ? "2019-0" + std::to_string(1 + i % 9) + "-1" + n
                                         : sentence(i, i % 2 == 0 ? 8 : 90);
    return "INSERT INTO items VALUES (" + n + ", 2, '2026-01-01 00:00:00', 'ABCD" + n +
           "');"
           "INSERT INTO itemData VALUES (" +
           n + ", 1, " + n +
           ");"
           "INSERT INTO itemDataValues VALUES (" +
           n + ", " + quoted(value) +
           ");"
           "INSERT INTO itemNotes VALUES (" +
           n + ", NULL, '<div><p>" + sentence(i, 30) + "</p></div>', " + quoted(sentence(i, 4)) +
           ");"
           "INSERT INTO itemAttachments VALUES (" +
           n + ", 'application/pdf', 'storage:Paper " + n +
           ".pdf', 'd41d8cd98f00b204e9800998ecf842" + std::to_string(10 + i) +
           "');"
           "INSERT INTO creators VALUES (" +
           n + ", 'Ada', 'Byron" + n + "')";
  });
  EXPECT_THAT(proposed(), ElementsAre("itemNotes:note,title", "itemDataValues:value"));
  EXPECT_EQ(reason_for("itemAttachments", "path"), "an address or path, by its name");
  EXPECT_EQ(reason_for("itemAttachments", "contentType"), "paths");
  EXPECT_EQ(reason_for("creators", "lastName"), "names of people, by its name");
}

TEST_F(ProposalTest, AnIssueTracker) {
  make(
      "CREATE TABLE issues(number INTEGER PRIMARY KEY, title TEXT, description TEXT, status TEXT, "
      "priority TEXT, "
      "assignee TEXT, commit_sha TEXT, created TEXT, api_key TEXT, payload BLOB);"
      "CREATE TABLE comments(id TEXT PRIMARY KEY, issue INTEGER, body TEXT, author TEXT) WITHOUT "
      "ROWID;"
      "CREATE TABLE attachments(id INTEGER PRIMARY KEY, issue INTEGER, filename TEXT, data BLOB, "
      "thumbnail TEXT);"
      "CREATE TABLE schema_version(version INTEGER, note TEXT);"
      "CREATE TABLE empty(id INTEGER PRIMARY KEY, text TEXT)");
  fill(120, [](int i) {
    const std::string n = std::to_string(i);
    return "INSERT INTO issues VALUES (" + n + ", " + quoted(sentence(i, 6)) + ", " +
           quoted(sentence(i, 70)) + ", '" + (i % 2 == 0 ? "open" : "closed") +
           "', 'high', 'ann', '5dd3a1b9c0ffee00112233445566778899aabb" +
           std::to_string(10 + i % 80) +
           "', '2026-11-20', 'words that do not look like a key', x'00');"
           "INSERT INTO comments VALUES ('c-" +
           n + "', " + n + ", " + quoted(sentence(i, 25)) +
           ", 'bob');"
           "INSERT INTO attachments VALUES (" +
           n + ", 1, 'log.txt', x'00', 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" + n + "')";
  });
  EXPECT_THAT(proposed(), ElementsAre("issues:title,description", "comments:body"));
  EXPECT_EQ(reason_for("issues", "status"),
            "a category of 2 different values, better used as a filter");
  EXPECT_EQ(reason_for("issues", "api_key"), "a credential, by its name");
  EXPECT_EQ(reason_for("issues", "commit_sha"), "hashes, keys or encoded data");
  EXPECT_EQ(reason_for("issues", "payload"), "BLOBs");
  EXPECT_EQ(reason_for("attachments", "thumbnail"), "hashes, keys or encoded data");
  EXPECT_EQ(reason_for("schema_version", ""), "migration table");
  EXPECT_EQ(reason_for("empty", ""), "no rows");
}

TEST_F(ProposalTest, APackageListKeepsTheNameBesideTheDescription) {
  make(
      "CREATE TABLE package(id INTEGER PRIMARY KEY, name TEXT, version TEXT, section TEXT, "
      "description TEXT, homepage TEXT)");
  fill(300, [](int i) {
    const std::string n = std::to_string(i);
    return "INSERT INTO package VALUES (" + n + ", 'lib" + n + "name', '1.2-" + n + "', '" +
           (i % 5 == 0 ? "web" : "libs") + "', " + quoted(sentence(i, 50)) +
           ", 'https://example.org/" + n + "')";
  });
  EXPECT_THAT(proposed(), ElementsAre("package:name,description"));
}

TEST_F(ProposalTest, TablesAndColumnsAskedForAreTakenAsTheyAre) {
  make(
      "CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT, y TEXT); CREATE TABLE b(z TEXT);"
      "CREATE VIEW v AS SELECT id AS row_id, x FROM a; INSERT INTO a VALUES (1, 'one', 'two'), (2, "
      "'three', 'four');"
      "INSERT INTO b VALUES ('short')");
  EXPECT_THAT(proposed({.tables = {{"a", {"Y"}}, {"v", {"x"}}}}),
              testing::UnorderedElementsAre("a:y", "v:x"));
  EXPECT_THAT(proposed({.columns = {"z"}}), ElementsAre("b:z"));
  EXPECT_THAT(proposed({.columns = {"x"}, .excluded_tables = {"a"}}), IsEmpty());
  const Proposal filtered = proposal({.tables = {{"a", {"x"}}}, .where = "id = 2"});
  EXPECT_EQ(filtered.tables[0].rows, 1U);
  EXPECT_EQ(filtered.tables[0].config.where, "id = 2");
  EXPECT_TRUE(proposal({.tables = {{"b", {"z"}}}}).tables[0].bare_rowid);
  EXPECT_THROW(proposal({.tables = {{"c", {}}}}), NotFound);
  EXPECT_THROW(proposal({.tables = {{"a", {"w"}}}}), NotFound);
  EXPECT_THROW(proposal({.columns = {"zz9"}}), NotFound);
  EXPECT_THROW(proposal({.tables = {{"a", {"x"}}}, .where = "1; DROP TABLE a"}), InvalidArgument);
}

TEST_F(ProposalTest, StoreNamesInUseAreAvoided) {
  make("CREATE TABLE notes(id INTEGER PRIMARY KEY, x TEXT)");
  EXPECT_EQ(
      proposal({.tables = {{"notes", {"x"}}}, .taken_names = {"NOTES"}}).tables[0].config.name,
      "app.notes");
}

TEST_F(ProposalTest, TheSameDatabaseGivesTheSameProposalAndKeepsItsBytes) {
  make("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT)");
  fill(3000, [](int i) {
    return "INSERT INTO t VALUES (" + std::to_string(i * 1000) + ", " + quoted(sentence(i, 12)) +
           ")";
  });
  const std::string before = sha256_of_file(folder_ / "app.db");
  const Proposal first = proposal();
  const Proposal second = proposal();
  ASSERT_EQ(first.tables.size(), 1U);
  EXPECT_EQ(first.tables[0].tokens, second.tables[0].tokens);
  EXPECT_EQ(first.tables[0].rows, 3000U);
  EXPECT_EQ(first.tables[0].reason, second.tables[0].reason);
  EXPECT_EQ(sha256_of_file(folder_ / "app.db"), before);
  EXPECT_THAT(folder_.files(), ElementsAre("app.db"));
}

TEST(ValueShape, EachKindIsTold) {
  const auto all = [](const std::string& shape, std::initializer_list<const char*> values) {
    for (const char* value : values) EXPECT_EQ(shape_of_value(value), shape) << value;
  };
  all("numbers", {"42", "-1.5e3", "+49 30 1234567", "1,000,000", "75 %"});
  all("dates or times",
      {"2026-11-20", "2026-11-20T13:24:05.120Z", "20.11.2026", "2026-11-20 13:24:05+00:00"});
  all("ids or hashes",
      {"550e8400-e29b-41d4-a716-446655440000", "d41d8cd98f00b204e9800998ecf8427e"});
  all("versions or addresses", {"1.2.3-4+b1", "2:1.0~rc1+dfsg"});
  all("mail addresses", {"ann@example.org"});
  all("web addresses",
      {"https://example.org/a?b=c", "www.example.org", "data:image/png;base64,xx"});
  all("paths", {"/usr/lib/x.so", "C:\\Users\\x", "./a/b", "application/pdf"});
  all("credentials, by their shape",
      {"$2b$12$abcdefghijklmnopqrstuv", "AKIAABCDEFGHIJKLMNOP", "ghp_abcdefghijklmnop1234",
       "eyJhbGciOiJIUzI1NiJ9.e30.abc", "pbkdf2_sha256$600000$x$y"});
  all("hashes, keys or encoded data",
      {"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ", "x9K3_pQ7-Lm2Zt8Vw4Yb6Nc1"});
  all("structured data (JSON)", {"{\"a\": 1}", "[\"x\", \"y\"]"});
  all("file or host names", {"log.txt", "example.org"});
  all("", {"upload failed", "The file /etc/passwd is read",
           "Bearer of bad news and a very long sentence", "Dr. No", "na\xC3\xAFve caf\xC3\xA9",
           "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E", "C++ or C#?", ""});
}

TEST(ColumnName, CredentialsAreKnownInEveryWriting) {
  for (const char* name :
       {"password", "passwordHash", "USER_PASSWORD", "pwd", "apiKey", "api_key", "access_token",
        "refreshToken", "client_secret", "salt", "encryptedPassword", "totp"}) {
    EXPECT_EQ(reason_by_name(name), "a credential, by its name") << name;
  }
  for (const char* name : {"body", "compass", "tokenizer_notes", "passage", "pinned_note",
                           "pass_criteria", "salt_content_note", "digest", "secretary", "title"}) {
    EXPECT_EQ(reason_by_name(name), "") << name;
  }
}

TEST_F(ProposalTest, AComputedColumnIsProposedOnlyIfItSaysMoreThanItsSource) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT, data TEXT,"
      " folded TEXT GENERATED ALWAYS AS (upper(body)) VIRTUAL,"
      " shown TEXT GENERATED ALWAYS AS (body || '!') STORED,"
      " comment TEXT GENERATED ALWAYS AS (json_extract(data, '$.comment')) VIRTUAL)");
  fill(40, [](int i) {
    return "INSERT INTO t(body, data) VALUES('" + sentence(i, 8) + "', json_object('comment', '" +
           sentence(i + 100, 9) + "'))";
  });
  EXPECT_THAT(proposed(), ElementsAre("t:body,comment"));
  EXPECT_EQ(reason_for("t", "folded"), "computed, and the same text as body");
  EXPECT_EQ(reason_for("t", "shown"), "computed, and the same text as body");
}

}  // namespace
}  // namespace nearlite
