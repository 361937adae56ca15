#include "nearlite/databases/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nearlite/base/error.h"
#include "nearlite/databases/bot_db.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/seed_store.h"
#include "nearlite/databases/sidecar_folder.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RegistryTest : public testing::Test {
 protected:
  Registry of_folder() { return Registry::of_folder(folder_.path(), settings_); }
  Registry of_files(const std::vector<std::string>& names) {
    std::vector<std::filesystem::path> files;
    for (const std::string& name : names) files.push_back(folder_ / name);
    return Registry::of_files(files, settings_);
  }
  void make_notes(const std::string& file) {
    folder_.database(file,
                     "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
                     "INSERT INTO notes VALUES (1, 'upload failed'), (2, 'garden in winter')");
  }
  /// What `index` does: the sidecar folder with one recorded store.
  void record(const std::string& file, const std::string& store, const std::string& table) {
    const auto sidecar = sidecar_folder_of(folder_ / file);
    create_sidecar_folder(sidecar, folder_ / file);
    add_store(sidecar_config(sidecar),
              {.name = store, .database = folder_ / file, .table = table, .text = {"body"}},
              ConfigPlace::kSidecar);
  }
  template <typename Action>
  static std::string not_found(Action action) {
    try {
      action();
    } catch (const NotFound& error) {
      return std::string(error.what()) + " | " + error.hint();
    }
    ADD_FAILURE() << "found";
    return {};
  }
  static std::vector<std::string> names_of(const Registry& registry) {
    std::vector<std::string> names;
    for (const StoreEntry& entry : registry.entries()) names.push_back(entry.name);
    return names;
  }

  DatabaseFolder folder_;
  StoreSettings settings_{.shared_encoder = std::make_shared<WordCountEncoder>()};
};

TEST_F(RegistryTest, TheSixAreListedInTheOrderOfTheReferenceAlsoWithoutFiles) {
  const Registry registry = of_folder();
  EXPECT_THAT(names_of(registry),
              ElementsAre("bot", "workflow", "error", "information", "enhancement", "research"));
  for (const StoreEntry& entry : registry.entries()) EXPECT_FALSE(entry.exists) << entry.name;
  EXPECT_THAT(not_found([&] { registry.open("bot"); }), HasSubstr("store create bot"));
  EXPECT_THAT(folder_.files(), testing::IsEmpty());
}

TEST_F(RegistryTest, CreateMakesTheFilesOfTheReference) {
  for (const char* name : {"bot", "workflow", "error", "information", "enhancement", "research"}) {
    EXPECT_EQ(of_folder().create(name)->name(), name);
  }
  EXPECT_THAT(folder_.files(), ElementsAre("bots.db", "enhancements.db", "errors.db",
                                           "information.db", "workflows.db"));
  const Registry registry = of_folder();
  for (const StoreEntry& entry : registry.entries()) {
    EXPECT_TRUE(entry.exists) << entry.name;
    EXPECT_EQ(registry.open(entry)->class_name(), entry.class_name);
  }
  EXPECT_EQ(registry.open("enhancement")->options().index_path,
            folder_ / "enhancement_embeddings.ann");
  EXPECT_EQ(registry.open("bot")->options().backend, Backend::kAnnoy);
  EXPECT_EQ(registry.metrics_path(registry.entry("bot")), folder_ / "metrics.db");
}

TEST_F(RegistryTest, TheEnhancementDatabaseMayBeElsewhere) {
  settings_.enhancement_database = folder_ / "elsewhere/e.db";
  of_folder().create("enhancement");
  EXPECT_THAT(folder_.files(), ElementsAre("elsewhere/e.db"));
  EXPECT_TRUE(of_folder().entry("enhancement").exists);
  EXPECT_EQ(of_folder().open("enhancement")->options().index_path,
            folder_ / "enhancement_embeddings.ann");
}

TEST_F(RegistryTest, TheAliasesOfTheReferenceAreUnderstoodInAnyCase) {
  const Registry registry = of_folder();
  const std::vector<std::pair<std::string, std::string>> aliases{{"bots", "bot"},
                                                                 {"BotDB", "bot"},
                                                                 {"Workflows", "workflow"},
                                                                 {"workflowdb", "workflow"},
                                                                 {"errors", "error"},
                                                                 {"ErrorDB", "error"},
                                                                 {"info", "information"},
                                                                 {"InfoDB", "information"},
                                                                 {"enhancements", "enhancement"},
                                                                 {"ENHANCEMENTDB", "enhancement"},
                                                                 {"researchdb", "research"},
                                                                 {"research", "research"}};
  for (const auto& [alias, name] : aliases) EXPECT_EQ(registry.entry(alias).name, name) << alias;
}

TEST_F(RegistryTest, AnUnknownNameIsAnsweredWithTheNearestOne) {
  const Registry registry = of_folder();
  EXPECT_THAT(not_found([&] { registry.entry("wokflow"); }),
              HasSubstr("did you mean \"workflow\"? Stores: bot, workflow"));
  EXPECT_THROW(registry.entry("../x"), InvalidArgument);
  EXPECT_THROW(registry.entry(""), InvalidArgument);
}

TEST_F(RegistryTest, AMissingFolderAndAMissingConfigAreNamed) {
  EXPECT_THAT(not_found([&] { Registry::of_folder(folder_ / "no", settings_); }),
              HasSubstr("no data folder"));
  EXPECT_THROW(Registry::of_folder(folder_.path(), settings_, folder_ / "no.toml"), NotFound);
}

TEST_F(RegistryTest, DeclaredTablesAndRecordedOnesAreFoundAndOpened) {
  make_notes("a.db");
  make_notes("b.db");
  record("a.db", "notes", "notes");
  folder_.write(
      "nearlite.toml",
      "[store.zz]\ndatabase = \"b.db\"\ntable = \"notes\"\ntext = [\"body\"]\nbackend = \"flat\"\n"
      "[store.gone]\ndatabase = \"gone.db\"\ntable = \"t\"\ntext = [\"x\"]\n"
      "[store.error]\nbackend = \"flat\"\n");
  const Registry registry = of_folder();
  EXPECT_THAT(names_of(registry), ElementsAre("bot", "workflow", "error", "information",
                                              "enhancement", "research", "gone", "notes", "zz"));
  EXPECT_FALSE(registry.entry("gone").exists);
  EXPECT_THAT(not_found([&] { registry.open("gone"); }), HasSubstr("gone.db"));
  const auto store = registry.open("notes");
  EXPECT_EQ(store->backfill_embeddings().embedded, 2U);
  EXPECT_EQ(store->search("garden", 1).at(0).key, RecordKey(2));
  EXPECT_EQ(store->sidecar_path(), folder_ / "a.db.nearlite/notes.sqlite");
  EXPECT_EQ(registry.metrics_path(registry.entry("notes")), folder_ / "a.db.nearlite/metrics.db");
  create_sidecar_folder(folder_ / "b.db.nearlite", folder_ / "b.db");
  EXPECT_EQ(registry.open("zz")->options().backend, Backend::kFlat);
  EXPECT_EQ(registry.with_backend(Backend::kAnnoy).open("zz")->options().backend, Backend::kAnnoy);
  EXPECT_EQ(registry.create("error")->options().backend, Backend::kFlat);
  EXPECT_THROW(registry.create("zz"), InvalidArgument);
}

TEST_F(RegistryTest, AStoreDeclaredAndRecordedIsOne) {
  make_notes("a.db");
  record("a.db", "notes", "notes");
  folder_.write("nearlite.toml",
                "[store.notes]\ndatabase = \"a.db\"\ntable = \"notes\"\ntext = [\"body\"]\n");
  EXPECT_EQ(names_of(of_folder()).size(), 7U);
}

TEST_F(RegistryTest, StoresOfTwoFilesWithEqualNamesAreToldApartByTheFile) {
  make_notes("a.db");
  make_notes("b.db");
  record("a.db", "notes", "notes");
  record("b.db", "notes", "notes");
  const Registry registry = of_files({"a.db", "b.db"});
  EXPECT_THAT(names_of(registry), ElementsAre("b.notes", "notes"));
  const auto store = registry.open("b.notes");
  EXPECT_EQ(store->name(), "b.notes");
  EXPECT_EQ(store->sidecar_path(), folder_ / "b.db.nearlite/notes.sqlite");
  folder_.database("c.db", "CREATE TABLE bot(id INTEGER PRIMARY KEY, body TEXT)");
  record("c.db", "bot", "bot");
  EXPECT_EQ(of_folder().entry("c.bot").table, "bot");
  EXPECT_TRUE(of_folder().entry("bot").seed_store);
}

TEST_F(RegistryTest, AFileWithoutStoresSaysWhatToRun) {
  make_notes("a.db");
  EXPECT_THAT(not_found([&] { of_files({"a.db"}); }), HasSubstr("run nearlite index"));
  EXPECT_THROW(of_files({"missing.db"}), NotFound);
}

TEST_F(RegistryTest, ARenamedDatabaseKeepsItsVectors) {
  make_notes("a.db");
  record("a.db", "notes", "notes");
  of_files({"a.db"}).open("notes")->backfill_embeddings();
  std::filesystem::rename(folder_ / "a.db", folder_ / "new.db");
  const auto store = of_files({"new.db"}).open("notes");
  EXPECT_EQ(store->search("garden", 1).at(0).key, RecordKey(2));
  std::filesystem::rename(folder_ / "a.db.nearlite", folder_ / "new.db.nearlite");
  EXPECT_EQ(of_files({"new.db"}).open("notes")->search("garden", 1).at(0).key, RecordKey(2));
}

TEST_F(RegistryTest, TheModelIsTheOneAskedForElseTheConfiguredOneElseTheDefault) {
  make_notes("a.db");
  folder_.write("nearlite.toml",
                "[defaults]\nmodel = \"org/default\"\n"
                "[store.own]\ndatabase = \"a.db\"\ntable = \"notes\"\ntext = [\"body\"]\nmodel = "
                "\"org/own\"\n"
                "[store.any]\ndatabase = \"a.db\"\ntable = \"notes\"\ntext = [\"body\"]\n");
  settings_.default_model = "org/environment";
  const auto model_of = [](const Registry& registry, const std::string& name) {
    return registry.open(name)->options().model_name;
  };
  EXPECT_EQ(model_of(of_folder(), "own"), "org/own");
  EXPECT_EQ(model_of(of_folder(), "any"), "org/default");
  settings_.model_name = "org/asked";
  EXPECT_EQ(model_of(of_folder(), "own"), "org/asked");
  const Registry registry = of_folder();
  EXPECT_EQ(&registry.open("own")->encoder(), &registry.open("any")->encoder());  // shared
}

/// What a program writes to have its own table searched beside all others.
class DiaryDB : public Store {
 public:
  DiaryDB(sqlite3* handle, EmbeddableOptions options) : Store(handle, std::move(options)) {}
  std::string name() const override { return "diary"; }
  std::string class_name() const override { return "DiaryDB"; }
  std::string text(const Record& record) const override { return record.get("body"); }
  RecordCursor iter_records() const override {
    return query("SELECT id, body FROM notes", {.kind = "diary"});
  }
};

class RegisteredStoreTest : public RegistryTest {
 protected:
  RegisteredStoreTest() { make_notes("diary.db"); }
  StoreClass diary_class() {
    return {.name = "diary",
            .class_name = "DiaryDB",
            .aliases = {"Diaries", "DiaryDB"},
            .database = "diary.db",
            .open = [this](const std::filesystem::path& file, EmbeddableOptions options) {
              opened_.push_back(file);
              return std::make_unique<DiaryDB>(db_.handle(), std::move(options));
            }};
  }

  Connection db_ = Connection::open(folder_.database("host.db",
                                                     "CREATE TABLE notes(id INTEGER "
                                                     "PRIMARY KEY, body TEXT);"
                                                     "INSERT INTO notes VALUES (7, "
                                                     "'rain all day')"),
                                    false);
  std::vector<std::filesystem::path> opened_;
};

TEST_F(RegisteredStoreTest, AClassIsOpenedByNameAndAliasLikeOneOfTheSix) {
  Registry registry = of_folder();
  registry.register_class(diary_class());
  EXPECT_THAT(names_of(registry), ElementsAre("bot", "workflow", "error", "information",
                                              "enhancement", "research", "diary"));
  EXPECT_TRUE(registry.entry("diary").exists);
  const auto store = registry.with_backend(Backend::kFlat).open("DIARIES");
  EXPECT_EQ(store->class_name(), "DiaryDB");
  EXPECT_THAT(opened_, ElementsAre(folder_ / "diary.db"));
  EXPECT_EQ(store->options().backend, Backend::kFlat);
  EXPECT_EQ(store->options().index_path, folder_ / "diary_embeddings.index");
  EXPECT_EQ(store->backfill_embeddings().embedded, 1U);
  EXPECT_EQ(store->search("rain", 1).at(0).key, RecordKey(7));
  EXPECT_THAT(store->shown_fields(), ElementsAre("id", "body"));
  EXPECT_EQ(store->read_fields(RecordKey(7), {"body"}).get("body"), "rain all day");
  EXPECT_TRUE(store->read_fields(RecordKey(8), {"body"}).fields().empty());
  EXPECT_THAT(not_found([&] { store->read_fields(RecordKey(7), {"bdy"}); }),
              HasSubstr("did you mean \"body\"?"));
  EXPECT_THROW(store->keys_matching("id = 7"), InvalidArgument);
  EXPECT_EQ(registry.metrics_path(registry.entry("diarydb")), folder_ / "metrics.db");
}

TEST_F(RegisteredStoreTest, AnObjectIsTheOneThatTheProgramHas) {
  Registry registry = of_folder();
  EmbeddableOptions options;
  options.index_path = folder_ / "d.index";
  options.encoder = settings_.shared_encoder;
  const auto diary = std::make_shared<DiaryDB>(db_.handle(), options);
  registry.register_store(diary, {"log"});
  EXPECT_EQ(registry.open("log"), diary);
  EXPECT_EQ(registry.with_backend(Backend::kFlat).open("diary"), diary);
  EXPECT_EQ(registry.entry("diary").database.filename(), "host.db");
}

TEST_F(RegisteredStoreTest, WhatCannotBeTheProgramsIsRefused) {
  Registry registry = of_folder();
  StoreClass kind = diary_class();
  for (const char* name : {"bot", "BOTS", "a/b", ""}) {
    kind.name = name;
    EXPECT_THROW(registry.register_class(kind), InvalidArgument) << name;
  }
  kind = diary_class();
  kind.aliases = {"infodb"};
  EXPECT_THROW(registry.register_class(kind), InvalidArgument);
  kind.aliases = {};
  kind.open = nullptr;
  EXPECT_THROW(registry.register_class(kind), InvalidArgument);
  EXPECT_THROW(registry.register_store(nullptr), InvalidArgument);
  EXPECT_EQ(registry.entries().size(), 6U);
  registry.register_class(diary_class());
  EXPECT_THROW(registry.register_class(diary_class()), InvalidArgument);
  EXPECT_THROW(registry.open_generation(registry.entry("diary"), "m", 2), InvalidArgument);
  EXPECT_EQ(registry.generations(registry.entry("diary")).current, 1);
  EXPECT_THROW(registry.create("diary"), InvalidArgument);
}

TEST_F(RegisteredStoreTest, AClassWhoseDatabaseIsNotThereIsNamedWhenItIsOpened) {
  Registry registry = of_folder();
  StoreClass kind = diary_class();
  kind.database = "later.db";
  registry.register_class(kind);
  EXPECT_FALSE(registry.entry("diary").exists);
  EXPECT_THAT(not_found([&] { registry.open("diary"); }), HasSubstr("later.db"));
}

TEST_F(RegistryTest, AStoreWhoseConfigurationIsBrokenSaysSoWhateverIsAskedOfIt) {
  make_notes("a.db");
  record("a.db", "notes", "notes");
  folder_.write("a.db.nearlite/nearlite.toml", "[store.notes\n");
  const Registry registry = of_folder();
  const StoreEntry& broken = registry.entry("a.db");
  EXPECT_THROW(registry.open(broken), InvalidArgument);
  EXPECT_THROW(registry.gate_of(broken), InvalidArgument);
  EXPECT_THROW(registry.generations(broken), InvalidArgument);
  EXPECT_THROW(registry.open_generation(broken, "m", 2), InvalidArgument);
}

}  // namespace
}  // namespace nearlite
