// Stores whose vectors stand in a BLOB column of the user's own, broken folders beside good ones,
// and generations of models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nearlite/databases/registry.h"
#include "nearlite/databases/table_store.h"
#include "nearlite_test/message_of.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class OwnVectors : public testing::Test {
 protected:
  TableStore open(const std::filesystem::path& file) {
    config_.name = "docs";
    config_.database = file;
    config_.table = "docs";
    config_.vector = "embedding";
    return TableStore(config_, TableStore::options_for(config_, folder_ / "app.db.nearlite"));
  }
  DatabaseFolder folder_;
  TableConfig config_;
};

TEST_F(OwnVectors, OfABlobColumnAreTakenAsTheyAre) {
  const auto file = folder_.database(
      "app.db",
      "CREATE TABLE docs(id INTEGER PRIMARY KEY, title TEXT, embedding BLOB);"
      "INSERT INTO docs VALUES (1, 'east', x'0000803f00000000'), (2, 'north', x'000000000000803f'),"
      "(3, 'none', NULL), (4, 'text', '[1, 2]'), (5, 'cut', x'0000803f00'),"
      "(6, 'zero', x'0000000000000000'), (7, 'nan', x'0000c07f00000000'),"
      "(8, 'long', x'0000803f0000803f0000803f')");
  config_.text = {"title"};
  TableStore store = open(file);
  const BackfillResult result = store.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(result.skipped, 6U);
  EXPECT_EQ(result.tokens, 0U);
  std::vector<std::string> reasons;
  for (const SkippedRecord& record : result.skipped_records) reasons.push_back(record.reason);
  EXPECT_THAT(reasons, ElementsAre(HasSubstr("is NULL"), HasSubstr("no BLOB of float32"),
                                   HasSubstr("5 bytes"), HasSubstr("all zeros"),
                                   HasSubstr("not finite"), HasSubstr("another dimension")));
  const auto hits = store.search_by_vector(std::vector<float>{0.9F, 0.1F}, 2);
  ASSERT_EQ(hits.size(), 2U);
  EXPECT_EQ(hits[0].key.display(), "1");
  EXPECT_EQ(store.freshness().fresh, 2U);
  EXPECT_EQ(store.backfill_embeddings().unchanged, 2U);
}

// The tables of the command-line tool `llm` (its documented schema).
TEST_F(OwnVectors, OfTheToolLlmCanBeSearchedInPlace) {
  const auto file = folder_.database(
      "llm.db",
      "CREATE TABLE collections(id INTEGER PRIMARY KEY, name TEXT, model TEXT);"
      "CREATE TABLE embeddings(collection_id INTEGER REFERENCES collections(id), id TEXT, "
      "embedding BLOB, content TEXT, content_blob BLOB, content_hash BLOB, metadata TEXT, updated "
      "INTEGER, PRIMARY KEY (collection_id, id));"
      "INSERT INTO collections VALUES (1, 'notes', 'all-MiniLM-L6-v2');"
      "INSERT INTO embeddings VALUES (1, 'a', x'0000803f00000000', 'east', NULL, x'00', NULL, 5),"
      "(1, 'b', x'000000000000803f', 'north', NULL, x'01', NULL, 5)");
  config_.name = "notes";
  config_.database = file;
  config_.table = "embeddings";
  config_.vector = "embedding";
  config_.text = {"content"};
  config_.updated = "updated";
  config_.where = "collection_id = 1";
  TableStore store(config_, TableStore::options_for(config_, folder_ / "llm.db.nearlite"));
  EXPECT_EQ(store.backfill_embeddings().embedded, 2U);
  EXPECT_EQ(store.search_by_vector(std::vector<float>{0.1F, 0.9F}, 1).at(0).key.display(),
            "[1,\"b\"]");
  EXPECT_EQ(store.backfill_embeddings().unchanged, 2U);
  EXPECT_EQ(*store.get_vector(store.search_by_vector(std::vector<float>{1, 0}, 1).at(0).key),
            (std::vector<float>{1, 0}));
}

TEST_F(OwnVectors, NeedNoTextColumn) {
  folder_.write("nearlite.toml",
                "[store.docs]\ndatabase = \"app.db\"\ntable = \"docs\"\nvector = \"embedding\"\n");
  EXPECT_EQ(read_config(folder_ / "nearlite.toml").tables.at(0).vector, "embedding");
  folder_.write("nearlite.toml", "[store.docs]\ndatabase = \"app.db\"\ntable = \"docs\"\n");
  EXPECT_THAT(message_of<InvalidArgument>([&] { read_config(folder_ / "nearlite.toml"); }),
              HasSubstr("or vector = "));
}

TEST_F(OwnVectors, AreWrittenToTheConfigurationAndReadAgain) {
  config_.name = "docs";
  config_.database = folder_ / "app.db";
  config_.table = "docs";
  config_.vector = "embedding";
  add_store(folder_ / "nearlite.toml", config_);
  EXPECT_EQ(read_config(folder_ / "nearlite.toml").tables.at(0).vector, "embedding");
}

TEST(Registry, NamesAFolderWithABrokenFileAndGoesOnWithTheOthers) {
  const DatabaseFolder folder;
  const auto file = folder.database("good.db", "CREATE TABLE note(id INTEGER PRIMARY KEY, t TEXT)");
  std::filesystem::create_directories(folder / "good.db.nearlite");
  std::filesystem::create_directories(folder / "bad.db.nearlite");
  folder.write("good.db.nearlite/nearlite.toml",
               "[store.note]\ndatabase = \"../good.db\"\ntable = \"note\"\ntext = [\"t\"]\n");
  folder.write("bad.db.nearlite/nearlite.toml", "[store.broken\n");
  const Registry registry = Registry::of_folder(folder.path(), {});
  EXPECT_NO_THROW(registry.open("note"));
  const StoreEntry& broken = registry.entry("bad.db");
  EXPECT_THAT(broken.broken, HasSubstr("bad.db.nearlite/nearlite.toml:1"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { registry.open(broken); }),
              HasSubstr("nearlite.toml:1"));
  EXPECT_THAT(message_of<NotFound>([&] { registry.entry("nothere"); }), HasSubstr("not read: "));
}

TEST(Generations, OfAModelHaveFilesOfTheirOwnAndAreSwitchedInOneStep) {
  const DatabaseFolder folder;
  folder.database("app.db",
                  "CREATE TABLE note(id INTEGER PRIMARY KEY, t TEXT);"
                  "INSERT INTO note VALUES (1, 'red door'), (2, 'green house')");
  folder.write("nearlite.toml",
               "# mine\n[store.note]\ndatabase = \"app.db\"\ntable = \"note\"\ntext = [\"t\"]\n"
               "model = \"words/one\"\n");
  StoreSettings settings;
  settings.shared_encoder = std::make_shared<WordCountEncoder>("words/one");
  const Registry registry = Registry::of_folder(folder.path(), settings);
  const StoreEntry entry = registry.entry("note");
  registry.open(entry)->backfill_embeddings();
  settings.shared_encoder = std::make_shared<WordCountEncoder>("words/two");
  const Registry next = Registry::of_folder(folder.path(), settings);
  const auto grown = next.open_generation(entry, "words/two", 2);
  EXPECT_EQ(grown->sidecar_path().filename(), "note.g2.sqlite");
  EXPECT_EQ(grown->backfill_embeddings().embedded, 2U);
  EXPECT_EQ(registry.open(entry)->sidecar_path().filename(), "note.sqlite");
  EXPECT_EQ(registry.open(entry)->freshness().fresh, 2U);
  set_store(folder / "nearlite.toml", "note",
            {{"model", "words/two"},
             {"generation", "2"},
             {"previous_model", "words/one"},
             {"previous_generation", "1"}});
  const Registry switched = Registry::of_folder(folder.path(), settings);
  EXPECT_EQ(switched.open("note")->sidecar_path().filename(), "note.g2.sqlite");
  EXPECT_EQ(switched.open("note")->freshness().fresh, 2U);
  EXPECT_EQ(switched.generations(switched.entry("note")).previous, 1);
  EXPECT_EQ(switched.generations(switched.entry("note")).previous_model, "words/one");
  EXPECT_EQ(registry.open(entry)->freshness().fresh, 2U);  // who has the old registry
}

}  // namespace
}  // namespace nearlite
