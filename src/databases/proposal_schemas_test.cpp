// What is proposed for databases as known programs make them (tables after their public
// documentation, rows made up), and for schemas that mean harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "nearlite/base/checksum.h"
#include "nearlite/databases/proposal.h"
#include "nearlite/databases/table_store.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

using Columns = std::vector<std::string>;

struct Application {
  std::string name;
  std::string schema;
  std::map<std::string, Columns>
      text;                        // table to columns that must be proposed, and no other table
  std::vector<std::string> never;  // table.column
};

// auth, sessions and migrations as django.contrib makes them, and two applications of a site.
const Application kDjango{"django",
                          R"(
CREATE TABLE django_migrations(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, app varchar(255) NOT NULL, name varchar(255) NOT NULL, applied datetime NOT NULL);
CREATE TABLE django_content_type(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, app_label varchar(100) NOT NULL, model varchar(100) NOT NULL);
CREATE TABLE auth_group(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name varchar(150) NOT NULL UNIQUE);
CREATE TABLE auth_group_permissions(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, group_id integer NOT NULL, permission_id integer NOT NULL);
CREATE TABLE auth_permission(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, content_type_id integer NOT NULL, codename varchar(100) NOT NULL, name varchar(255) NOT NULL);
CREATE TABLE auth_user(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, password varchar(128) NOT NULL, last_login datetime NULL, is_superuser bool NOT NULL, username varchar(150) NOT NULL UNIQUE, last_name varchar(150) NOT NULL, email varchar(254) NOT NULL, is_staff bool NOT NULL, is_active bool NOT NULL, date_joined datetime NOT NULL, first_name varchar(150) NOT NULL);
CREATE TABLE auth_user_groups(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, user_id integer NOT NULL, group_id integer NOT NULL);
CREATE TABLE django_admin_log(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, object_id text NULL, object_repr varchar(200) NOT NULL, action_flag smallint unsigned NOT NULL, change_message text NOT NULL, content_type_id integer NULL, user_id integer NOT NULL, action_time datetime NOT NULL);
CREATE TABLE django_session(session_key varchar(40) NOT NULL PRIMARY KEY, session_data text NOT NULL, expire_date datetime NOT NULL);
CREATE TABLE django_site(id integer NOT NULL PRIMARY KEY, name varchar(50) NOT NULL, domain varchar(100) NOT NULL UNIQUE);
CREATE TABLE blog_post(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, title varchar(200) NOT NULL, slug varchar(50) NOT NULL, body text NOT NULL, status varchar(10) NOT NULL, author_id integer NOT NULL, created datetime NOT NULL, cover varchar(100) NOT NULL);
CREATE TABLE blog_comment(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, post_id integer NOT NULL, email varchar(254) NOT NULL, text text NOT NULL, ip char(39) NOT NULL);
INSERT INTO django_migrations(app, name, applied) VALUES ('auth', '0001_initial', '2024-01-02 03:04:05'), ('blog', '0002_post_cover', '2024-01-02 03:04:06');
INSERT INTO django_content_type(app_label, model) VALUES ('auth', 'user'), ('blog', 'post'), ('sessions', 'session');
INSERT INTO auth_user(password, is_superuser, username, last_name, email, is_staff, is_active, date_joined, first_name) VALUES ('pbkdf2_sha256$600000$abcdefgh$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=', 1, 'anna', 'Berg', 'anna@example.org', 1, 1, '2024-01-02', 'Anna'), ('pbkdf2_sha256$600000$ijklmnop$BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=', 0, 'ben', 'Stein', 'ben@example.org', 0, 1, '2024-02-02', 'Ben');
INSERT INTO django_session VALUES ('k3j4h5k3j4h5k3j4h5k3j4h5k3j4h5k3', 'eyJfYXV0aF91c2VyX2lkIjoiMSJ9:1rT:abcdef', '2024-03-01');
INSERT INTO blog_post(title, slug, body, status, author_id, created, cover) VALUES ('How we moved the archive', 'how-we-moved', 'Last spring we had to move the whole archive of the paper to a new building, and nobody knew where to begin.', 'published', 1, '2024-02-03 10:00:00', 'covers/archive.jpg'), ('A winter garden', 'winter-garden', 'Even in January there is something to see: hellebores, witch hazel and the first snowdrops.', 'draft', 2, '2024-02-04 10:00:00', 'covers/garden.jpg'), ('Baking with rye', 'baking-rye', 'Rye needs more water than wheat, and much more patience; the dough stays sticky to the end.', 'published', 1, '2024-02-05 10:00:00', 'covers/rye.jpg');
INSERT INTO blog_comment(post_id, email, text, ip) VALUES (1, 'c@example.org', 'We did the same in 2019 and it took us three months longer than planned.', '192.0.2.7'), (3, 'd@example.org', 'Thanks, I never thought of adding the salt so late.', '192.0.2.8');
)",
                          {{"blog_post", {"title", "body"}}, {"blog_comment", {"text"}}},
                          {"auth_user.password", "auth_user.email", "blog_post.slug",
                           "blog_post.cover", "blog_comment.ip", "blog_comment.email"}};

// places.sqlite of Firefox.
const Application kFirefox{"firefox",
                           R"(
CREATE TABLE moz_origins(id INTEGER PRIMARY KEY, prefix TEXT NOT NULL, host TEXT NOT NULL, frecency INTEGER NOT NULL, UNIQUE (prefix, host));
CREATE TABLE moz_places(id INTEGER PRIMARY KEY, url LONGVARCHAR, title LONGVARCHAR, rev_host LONGVARCHAR, visit_count INTEGER DEFAULT 0, hidden INTEGER DEFAULT 0 NOT NULL, typed INTEGER DEFAULT 0 NOT NULL, frecency INTEGER DEFAULT -1 NOT NULL, last_visit_date INTEGER, guid TEXT, foreign_count INTEGER DEFAULT 0 NOT NULL, url_hash INTEGER DEFAULT 0 NOT NULL, description TEXT, preview_image_url TEXT, origin_id INTEGER);
CREATE TABLE moz_historyvisits(id INTEGER PRIMARY KEY, from_visit INTEGER, place_id INTEGER, visit_date INTEGER, visit_type INTEGER, session INTEGER);
CREATE TABLE moz_inputhistory(place_id INTEGER NOT NULL, input LONGVARCHAR NOT NULL, use_count INTEGER, PRIMARY KEY (place_id, input));
CREATE TABLE moz_bookmarks(id INTEGER PRIMARY KEY, type INTEGER, fk INTEGER DEFAULT NULL, parent INTEGER, position INTEGER, title LONGVARCHAR, keyword_id INTEGER, folder_type TEXT, dateAdded INTEGER, lastModified INTEGER, guid TEXT);
CREATE TABLE moz_bookmarks_deleted(guid TEXT PRIMARY KEY, dateRemoved INTEGER NOT NULL DEFAULT 0);
CREATE TABLE moz_keywords(id INTEGER PRIMARY KEY AUTOINCREMENT, keyword TEXT UNIQUE, place_id INTEGER, post_data TEXT);
CREATE TABLE moz_anno_attributes(id INTEGER PRIMARY KEY, name VARCHAR(32) UNIQUE NOT NULL);
CREATE TABLE moz_annos(id INTEGER PRIMARY KEY, place_id INTEGER NOT NULL, anno_attribute_id INTEGER, content LONGVARCHAR, flags INTEGER DEFAULT 0, expiration INTEGER DEFAULT 0, type INTEGER DEFAULT 0, dateAdded INTEGER DEFAULT 0, lastModified INTEGER DEFAULT 0);
CREATE TABLE moz_meta(key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
INSERT INTO moz_places(url, title, rev_host, guid, description, preview_image_url) VALUES ('https://example.org/rye', 'Baking bread with rye flour at home', 'gro.elpmaxe.', 'aBcDeFgHiJkL', 'A long guide to baking bread with rye flour, from the starter to the crust.', 'https://example.org/rye.png'), ('https://example.com/trains', 'Night trains through the Alps: a map', 'moc.elpmaxe.', 'mNoPqRsTuVwX', 'All night trains that cross the Alps, with the cars they carry and where to book them.', 'https://example.com/t.png'), ('https://example.net/sql', 'When SQLite waits for a lock', 'ten.elpmaxe.', 'yZ0123456789', 'What happens when two processes want to write to one database at the same time.', NULL);
INSERT INTO moz_bookmarks(type, title, guid) VALUES (2, 'menu', 'menu________'), (2, 'toolbar', 'toolbar_____'), (1, 'How to descale a kettle', 'QwErTyUiOp12'), (1, 'Opening hours of the library', 'AsDfGhJkLz34');
INSERT INTO moz_origins(prefix, host, frecency) VALUES ('https://', 'example.org', 10), ('https://', 'example.com', 20);
INSERT INTO moz_inputhistory VALUES (1, 'rye', 3);
INSERT INTO moz_meta VALUES ('sync/bookmarks/syncId', 'Zx9_abc');
)",
                           {{"moz_places", {"title", "description"}}},
                           {"moz_places.url", "moz_places.rev_host", "moz_places.guid",
                            "moz_places.preview_image_url", "moz_bookmarks.guid"}};

// metadata.db of Calibre.
const Application kCalibre{"calibre",
                           R"(
CREATE TABLE authors(id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, sort TEXT COLLATE NOCASE, link TEXT NOT NULL DEFAULT '', UNIQUE(name));
CREATE TABLE books(id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL DEFAULT 'Unknown' COLLATE NOCASE, sort TEXT COLLATE NOCASE, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, pubdate TIMESTAMP DEFAULT CURRENT_TIMESTAMP, series_index REAL NOT NULL DEFAULT 1.0, author_sort TEXT COLLATE NOCASE, isbn TEXT DEFAULT '' COLLATE NOCASE, lccn TEXT DEFAULT '' COLLATE NOCASE, path TEXT NOT NULL DEFAULT '', flags INTEGER NOT NULL DEFAULT 1, uuid TEXT, has_cover BOOL DEFAULT 0, last_modified TIMESTAMP NOT NULL DEFAULT '2000-01-01 00:00:00+00:00');
CREATE TABLE books_authors_link(id INTEGER PRIMARY KEY, book INTEGER NOT NULL, author INTEGER NOT NULL, UNIQUE(book, author));
CREATE TABLE comments(id INTEGER PRIMARY KEY, book INTEGER NOT NULL, text TEXT NOT NULL COLLATE NOCASE, UNIQUE(book));
CREATE TABLE data(id INTEGER PRIMARY KEY, book INTEGER NOT NULL, format TEXT NOT NULL COLLATE NOCASE, uncompressed_size INTEGER NOT NULL, name TEXT NOT NULL);
CREATE TABLE identifiers(id INTEGER PRIMARY KEY, book INTEGER NOT NULL, type TEXT NOT NULL DEFAULT 'isbn' COLLATE NOCASE, val TEXT NOT NULL COLLATE NOCASE);
CREATE TABLE languages(id INTEGER PRIMARY KEY, lang_code TEXT NOT NULL COLLATE NOCASE, UNIQUE(lang_code));
CREATE TABLE preferences(id INTEGER PRIMARY KEY, key TEXT NOT NULL, val TEXT NOT NULL, UNIQUE(key));
CREATE TABLE publishers(id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, sort TEXT COLLATE NOCASE, UNIQUE(name));
CREATE TABLE ratings(id INTEGER PRIMARY KEY, rating INTEGER, UNIQUE(rating));
CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, UNIQUE(name));
CREATE VIEW meta AS SELECT id, title, (SELECT text FROM comments WHERE book = books.id) comments FROM books;
CREATE TRIGGER books_insert_trg AFTER INSERT ON books BEGIN UPDATE books SET sort = title_sort(NEW.title), uuid = uuid4() WHERE id = NEW.id; END;
INSERT INTO authors(name, sort) VALUES ('Jane Austen', 'Austen, Jane'), ('Jules Verne', 'Verne, Jules');
INSERT INTO comments(book, text) VALUES (1, '<div><p>Five sisters, a ball and a proud man: the novel that made its author famous.</p></div>'), (2, '<div><p>A professor, his servant and a harpooner are taken aboard a boat that nobody believes in.</p></div>');
INSERT INTO data(book, format, uncompressed_size, name) VALUES (1, 'EPUB', 12345, 'Pride and Prejudice - Jane Austen'), (2, 'PDF', 54321, 'Twenty Thousand Leagues - Jules Verne');
INSERT INTO identifiers(book, val) VALUES (1, '9780141439518');
INSERT INTO languages(lang_code) VALUES ('eng'), ('fra');
INSERT INTO tags(name) VALUES ('Classics'), ('Romance'), ('Adventure');
)",
                           {{"comments", {"text"}}},
                           {"data.format", "identifiers.val", "languages.lang_code"}};

// zotero.sqlite.
const Application kZotero{
    "zotero",
    R"(
CREATE TABLE version(schema TEXT PRIMARY KEY, version INT NOT NULL);
CREATE TABLE settings(setting TEXT, key TEXT, value, PRIMARY KEY (setting, key));
CREATE TABLE itemTypes(itemTypeID INTEGER PRIMARY KEY, typeName TEXT, templateItemTypeID INT, display INT DEFAULT 1);
CREATE TABLE fields(fieldID INTEGER PRIMARY KEY, fieldName TEXT, fieldFormatID INT);
CREATE TABLE items(itemID INTEGER PRIMARY KEY, itemTypeID INT NOT NULL, dateAdded TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, dateModified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, clientDateModified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, libraryID INT NOT NULL, key TEXT NOT NULL, version INT NOT NULL DEFAULT 0, synced INT NOT NULL DEFAULT 0);
CREATE TABLE itemDataValues(valueID INTEGER PRIMARY KEY, value UNIQUE);
CREATE TABLE itemData(itemID INT, fieldID INT, valueID, PRIMARY KEY (itemID, fieldID));
CREATE TABLE itemNotes(itemID INTEGER PRIMARY KEY, parentItemID INT, note TEXT, title TEXT);
CREATE TABLE itemAttachments(itemID INTEGER PRIMARY KEY, parentItemID INT, linkMode INT, contentType TEXT, charsetID INT, path TEXT, syncState INT DEFAULT 0, storageModTime INT, storageHash TEXT);
CREATE TABLE creators(creatorID INTEGER PRIMARY KEY, firstName TEXT, lastName TEXT, fieldMode INT, UNIQUE (lastName, firstName, fieldMode));
CREATE TABLE itemCreators(itemID INT NOT NULL, creatorID INT NOT NULL, creatorTypeID INT NOT NULL DEFAULT 1, orderIndex INT NOT NULL DEFAULT 0, PRIMARY KEY (itemID, creatorID, creatorTypeID, orderIndex));
CREATE TABLE tags(tagID INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE collections(collectionID INTEGER PRIMARY KEY, collectionName TEXT NOT NULL, parentCollectionID INT DEFAULT NULL, clientDateModified TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, libraryID INT NOT NULL, key TEXT NOT NULL);
CREATE TABLE fulltextWords(wordID INTEGER PRIMARY KEY, word TEXT UNIQUE);
INSERT INTO itemTypes(typeName) VALUES ('journalArticle'), ('book'), ('note');
INSERT INTO fields(fieldName) VALUES ('title'), ('abstractNote'), ('DOI'), ('url');
INSERT INTO items(itemTypeID, libraryID, key) VALUES (1, 1, 'ABCD2345'), (2, 1, 'EFGH6789');
INSERT INTO itemNotes VALUES (1, NULL, '<p>The second chapter explains why the samples were taken in winter, which I had missed.</p>', 'Why the samples were taken in winter'), (2, NULL, '<p>Compare with the older survey of the same lakes; the numbers differ by a factor of two.</p>', 'Compare with the older survey');
INSERT INTO itemAttachments(itemID, contentType, path, storageHash) VALUES (3, 'application/pdf', 'storage:Smith - 2020 - Lakes.pdf', 'd41d8cd98f00b204e9800998ecf8427e');
INSERT INTO creators(firstName, lastName) VALUES ('Ada', 'Smith'), ('Ben', 'Stone');
INSERT INTO fulltextWords(word) VALUES ('lake'), ('winter'), ('sample');
)",
    {{"itemNotes", {"note", "title"}}},
    {"itemAttachments.path", "itemAttachments.storageHash", "items.key", "fulltextWords.word"}};

// database.sqlite of Joplin.
const Application kJoplin{
    "joplin",
    R"(
CREATE TABLE folders(id TEXT PRIMARY KEY, title TEXT NOT NULL DEFAULT "", created_time INT NOT NULL, updated_time INT NOT NULL, parent_id TEXT NOT NULL DEFAULT "", icon TEXT NOT NULL DEFAULT "");
CREATE TABLE notes(id TEXT PRIMARY KEY, parent_id TEXT NOT NULL DEFAULT "", title TEXT NOT NULL DEFAULT "", body TEXT NOT NULL DEFAULT "", created_time INT NOT NULL, updated_time INT NOT NULL, is_conflict INT NOT NULL DEFAULT 0, latitude NUMERIC NOT NULL DEFAULT 0, author TEXT NOT NULL DEFAULT "", source_url TEXT NOT NULL DEFAULT "", is_todo INT NOT NULL DEFAULT 0, source TEXT NOT NULL DEFAULT "", source_application TEXT NOT NULL DEFAULT "", markup_language INT NOT NULL DEFAULT 1);
CREATE TABLE tags(id TEXT PRIMARY KEY, title TEXT NOT NULL DEFAULT "", created_time INT NOT NULL, updated_time INT NOT NULL);
CREATE TABLE note_tags(id TEXT PRIMARY KEY, note_id TEXT NOT NULL, tag_id TEXT NOT NULL, created_time INT NOT NULL);
CREATE TABLE resources(id TEXT PRIMARY KEY, title TEXT NOT NULL DEFAULT "", mime TEXT NOT NULL, filename TEXT NOT NULL DEFAULT "", created_time INT NOT NULL, file_extension TEXT NOT NULL DEFAULT "");
CREATE TABLE settings(`key` TEXT PRIMARY KEY, `value` TEXT);
CREATE TABLE sync_items(id INTEGER PRIMARY KEY, sync_target INT NOT NULL, sync_time INT NOT NULL DEFAULT 0, item_type INT NOT NULL, item_id TEXT NOT NULL);
CREATE TABLE migrations(id INTEGER PRIMARY KEY, number INTEGER NOT NULL, created_time INT NOT NULL);
CREATE VIRTUAL TABLE notes_fts USING fts4(content="notes", notindexed="id", id, title, body);
INSERT INTO folders VALUES ('0123456789abcdef0123456789abcde0', 'Household', 1, 1, '', ''), ('0123456789abcdef0123456789abcde1', 'Travel', 1, 1, '', '');
INSERT INTO notes(id, title, body, created_time, updated_time, source, source_application) VALUES ('11112222333344445555666677778888', 'Dishwasher trouble', 'It stops in the middle of the cycle and shows E24. The hose was bent behind the kitchen unit.', 1700000000000, 1700000001000, 'joplin-desktop', 'net.cozic.joplin-desktop'), ('22223333444455556666777788889999', 'Packing for the mountains', 'Boots, the thin jacket, two maps, and this time do not forget the charger for the headlamp.', 1700000002000, 1700000003000, 'joplin-desktop', 'net.cozic.joplin-desktop');
INSERT INTO settings VALUES ('clientId', '5d41402abc4b2a76b9719d911017c592'), ('locale', '"en_GB"');
INSERT INTO resources VALUES ('99998888777766665555444433332222', 'photo.jpg', 'image/jpeg', '', 1, 'jpg');
)",
    {{"notes", {"title", "body"}}},
    {"notes.id", "notes.source_application", "resources.mime", "settings.value"}};

// collection.anki2 of Anki, before its tables were split.
const Application kAnki{"anki",
                        R"(
CREATE TABLE col(id integer PRIMARY KEY, crt integer NOT NULL, mod integer NOT NULL, scm integer NOT NULL, ver integer NOT NULL, dty integer NOT NULL, usn integer NOT NULL, ls integer NOT NULL, conf text NOT NULL, models text NOT NULL, decks text NOT NULL, dconf text NOT NULL, tags text NOT NULL);
CREATE TABLE notes(id integer PRIMARY KEY, guid text NOT NULL, mid integer NOT NULL, mod integer NOT NULL, usn integer NOT NULL, tags text NOT NULL, flds text NOT NULL, sfld integer NOT NULL, csum integer NOT NULL, flags integer NOT NULL, data text NOT NULL);
CREATE TABLE cards(id integer PRIMARY KEY, nid integer NOT NULL, did integer NOT NULL, ord integer NOT NULL, mod integer NOT NULL, due integer NOT NULL, ivl integer NOT NULL, data text NOT NULL);
CREATE TABLE revlog(id integer PRIMARY KEY, cid integer NOT NULL, usn integer NOT NULL, ease integer NOT NULL, ivl integer NOT NULL, time integer NOT NULL);
CREATE TABLE graves(usn integer NOT NULL, oid integer NOT NULL, type integer NOT NULL);
INSERT INTO notes VALUES (1, 'b4[9e.yG1>', 1, 1, 1, ' geography ', 'Which river runs through Vienna and Budapest?' || char(31) || 'The Danube', 'Which river runs through Vienna and Budapest?', 123456789, 0, ''), (2, 'kR7}x0/mQz', 1, 1, 1, ' biology ', 'What does a mitochondrion do in the cell?' || char(31) || 'It makes ATP from sugar', 'What does a mitochondrion do in the cell?', 987654321, 0, '');
INSERT INTO cards VALUES (1, 1, 1, 0, 1, 1, 1, '{}'), (2, 2, 1, 0, 1, 1, 1, '{}');
)",
                        {{"notes", {"flds"}}},
                        {"notes.guid"}};

// Tables of codes as in proj.db: an authority's name is no text.
const Application kProj{
    "proj",
    R"(
CREATE TABLE ellipsoid(auth_name TEXT NOT NULL, code TEXT NOT NULL, name TEXT NOT NULL, description TEXT, celestial_body_auth_name TEXT NOT NULL, semi_major_axis FLOAT NOT NULL, PRIMARY KEY (auth_name, code)) WITHOUT ROWID;
CREATE TABLE unit_of_measure(auth_name TEXT NOT NULL, code TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, conv_factor FLOAT, PRIMARY KEY (auth_name, code));
INSERT INTO ellipsoid VALUES ('EPSG', '7001', 'Airy 1830', 'Original definition is a=20923713 and b=20853810 feet of 1796.', 'IAU_2015', 6377563.396), ('EPSG', '7004', 'Bessel 1841', 'Original Bessel definition is a=3272077.14 and b=3261139.33 toise.', 'IAU_2015', 6377397.155), ('ESRI', '107001', 'Everest (definition 1962)', 'Used in Pakistan since metrication of the maps.', 'PROJ', 6377301.243);
INSERT INTO unit_of_measure VALUES ('EPSG', '9001', 'metre', 'length', 1), ('EPSG', '9002', 'foot', 'length', 0.3048), ('ESRI', '109001', 'Yard Sears', 'length', 0.914398);
)",
    {{"ellipsoid", {"name", "description"}}},
    {"ellipsoid.auth_name", "ellipsoid.celestial_body_auth_name", "unit_of_measure.auth_name"}};

class KnownApplications : public testing::TestWithParam<const Application*> {};

TEST_P(KnownApplications, HaveTheirTextsProposedAndNothingElse) {
  const Application& application = *GetParam();
  const DatabaseFolder folder;
  const auto file = folder.database("app.db", application.schema);
  const std::string before = sha256_of_file(file);
  const Proposal proposal = propose(Connection::open_source(file), file);
  std::set<std::string> tables;
  for (const ProposedTable& table : proposal.tables) {
    const std::string& name = table.config.table;
    SCOPED_TRACE(name);
    tables.insert(name);
    const auto expected = application.text.find(name);
    if (expected == application.text.end()) {
      // Other short texts may be proposed too, but nothing that a schema calls a table of things
      // no person wrote.
      EXPECT_FALSE(name.starts_with("django_") || name.starts_with("auth_") ||
                   name.ends_with("_link") || name == "settings" || name == "preferences");
    } else {
      EXPECT_THAT(table.config.text, IsSupersetOf(expected->second));
    }
    for (const std::string& column : table.config.text) {
      EXPECT_THAT(application.never, Not(testing::Contains(name + "." + column)));
    }
    EXPECT_FALSE(table.columns.front().reason.empty());
  }
  for (const auto& [name, columns] : application.text) EXPECT_TRUE(tables.contains(name)) << name;
  for (const LeftOut& left : proposal.left_out) EXPECT_THAT(left.reason, Not(IsEmpty()));
  EXPECT_EQ(sha256_of_file(file), before);
}

INSTANTIATE_TEST_SUITE_P(Proposal, KnownApplications,
                         testing::Values(&kDjango, &kFirefox, &kCalibre, &kZotero, &kJoplin, &kAnki,
                                         &kProj),
                         [](const auto& about) { return about.param->name; });

/// A schema of strange tables; the same number gives the same one.
class HostileSchema {
 public:
  explicit HostileSchema(unsigned seed) : random_(seed) {}

  std::string make() {
    std::string sql;
    if (random_() % 3 == 0) sql += "PRAGMA encoding = 'UTF-16le';";
    const std::size_t count = 1 + random_() % 4;
    for (std::size_t i = 0; i < count; ++i) sql += table(i);
    if (random_() % 2 == 0) sql += "CREATE VIEW \"a view\" AS SELECT * FROM sqlite_master;";
    if (random_() % 3 == 0)
      sql +=
          "CREATE VIRTUAL TABLE \"f t s\" USING fts5(\"a b\", c); INSERT INTO \"f t s\" VALUES "
          "('one two three four five six', 'x');";
    // A view of a table that is gone.
    if (random_() % 3 == 0)
      sql += "CREATE TABLE gone(a); CREATE VIEW broken AS SELECT a FROM gone; DROP TABLE gone;";
    return sql;
  }

 private:
  std::string name() {
    static const std::vector<std::string> kNames{
        "select",    "a b",        "na\"me",     "x'); DROP TABLE y; --",
        "grüße",     "日本語",     "rowid",      "oid",
        "",          "a.b",        "[brackets]", "`tick`",
        "new\nline", "%s%n",       "😀",          "../../etc/passwd",
        "null",      "tab\tbed",   "key",        "ABC",
        "_rowid_",   "-- comment", "{template}", "$1"};
    return kNames[random_() % kNames.size()] + std::to_string(number_++ % 7);
  }
  static std::string quoted(const std::string& text, char mark) {
    std::string out(1, mark);
    for (const char c : text) {
      out += c;
      if (c == mark) out += c;
    }
    return out + mark;
  }
  std::string value() {
    switch (random_() % 8) {
      case 0:
        return "NULL";
      case 1:
        return "x'00ff80'";
      case 2:
        return std::to_string(random_());
      case 3:
        return "CAST(x'80c0ff41' AS TEXT)";  // invalid UTF-8
      case 4:
        return "'a' || char(0) || 'b'";
      case 5:
        return "replace(hex(zeroblob(500)), '00', 'many words of text ')";
      default:
        return quoted("Some text that a person wrote about item " + std::to_string(random_() % 50),
                      '\'');
    }
  }

  std::string table(std::size_t index) {
    std::set<std::string> columns;
    const std::size_t wanted = 1 + random_() % 6;
    while (columns.size() < wanted) columns.insert(name());
    const std::string table_name = quoted(name() + std::to_string(index), '"');
    const bool without_rowid = random_() % 3 == 0;
    const bool composite = random_() % 3 == 0 && columns.size() > 1;
    std::string sql = "CREATE TABLE " + table_name + "(";
    std::string key;
    std::size_t position = 0;
    for (const std::string& column : columns) {
      sql +=
          (position == 0 ? "" : ", ") + quoted(column, '"') + (random_() % 2 == 0 ? " TEXT" : "");
      if (position < (composite ? 2U : 1U)) key += (key.empty() ? "" : ", ") + quoted(column, '"');
      ++position;
    }
    if (random_() % 3 == 0)
      sql += ", \"made\" TEXT GENERATED ALWAYS AS (upper(" + quoted(*columns.begin(), '"') + "))";
    const bool keyed = without_rowid || random_() % 2 == 0;
    if (keyed) sql += ", PRIMARY KEY(" + key + ")";
    sql += std::string(")") + (without_rowid ? " WITHOUT ROWID" : "") + ";";
    std::string names;
    for (const std::string& column : columns)
      names += (names.empty() ? "" : ", ") + quoted(column, '"');
    const std::size_t rows = random_() % 30;
    for (std::size_t row = 0; row < rows; ++row) {
      std::string values;
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const bool in_key = keyed && i < (composite ? 2U : 1U);
        values +=
            (i == 0 ? "" : ", ") + (in_key ? quoted("key " + std::to_string(row), '\'') : value());
      }
      sql += "INSERT INTO " + table_name + "(" + names + ") VALUES (" + values + ");";
    }
    return sql;
  }

  std::mt19937 random_;
  unsigned number_ = 0;
};

TEST(Proposal, OfFiftyHostileSchemasCanBeTakenAndChangesNothing) {
  std::size_t proposed = 0;
  for (unsigned seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    const DatabaseFolder folder;
    const auto file = folder.database("app.db", HostileSchema(seed).make());
    const std::string before = sha256_of_file(file);
    const Proposal proposal = propose(Connection::open_source(file), file);
    std::vector<std::string> names;
    for (const ProposedTable& table : proposal.tables) {
      ++proposed;
      TableConfig config = table.config;
      config.database = file;
      names.push_back(config.name);
      add_store(folder / "nearlite.toml", config);
      EmbeddableOptions options = TableStore::options_for(config, folder / "app.db.nearlite");
      options.encoder = std::make_shared<WordCountEncoder>();
      TableStore store(config, options);
      const BackfillResult result = store.backfill_embeddings();
      EXPECT_EQ(result.embedded + result.skipped, table.rows);
      EXPECT_EQ(store.freshness().fresh, result.embedded);
    }
    // What was written down is read again as it was.
    if (!proposal.tables.empty()) {
      const Config read = read_config(folder / "nearlite.toml");
      ASSERT_EQ(read.tables.size(), proposal.tables.size());
      for (std::size_t i = 0; i < read.tables.size(); ++i) {
        EXPECT_EQ(read.tables[i].table, proposal.tables[i].config.table);
        EXPECT_EQ(read.tables[i].text, proposal.tables[i].config.text);
      }
    }
    EXPECT_EQ(sha256_of_file(file), before);
  }
  EXPECT_GT(proposed, 30U);
}

}  // namespace
}  // namespace nearlite
