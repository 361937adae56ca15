#include "nearlite/databases/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  /// The message of the refusal; fails the test if there is none.
  std::string refusal_of(const std::string& text, ConfigPlace place = ConfigPlace::kDataFolder) {
    const auto file = folder_.write("nearlite.toml", text);
    try {
      read_config(file, place);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << text;
    return {};
  }
  Config read(const std::string& text) { return read_config(folder_.write("nearlite.toml", text)); }

  DatabaseFolder folder_;
};

const std::string kPackages = R"([store.packages]                     # any table or view
database = "packages.db"
table = "package"
key = ["id"]
text = ["name", "description"]
where = "section != 'oldlibs'"       # optional
updated = "last_modified"
expose = ["name", "section"]
backend = "auto"
governance = "secrets"
)";

TEST_F(ConfigTest, TheExampleOfTheDocumentsIsRead) {
  const Config config = read("[defaults]\nmodel = \"org/model\"\n\n" + kPackages);
  EXPECT_EQ(config.default_model, "org/model");
  ASSERT_EQ(config.tables.size(), 1U);
  const TableConfig& store = config.tables[0];
  EXPECT_EQ(store.name, "packages");
  EXPECT_EQ(store.database, folder_ / "packages.db");
  EXPECT_EQ(store.table, "package");
  EXPECT_THAT(store.key, ElementsAre("id"));
  EXPECT_THAT(store.text, ElementsAre("name", "description"));
  EXPECT_EQ(store.where, "section != 'oldlibs'");
  EXPECT_EQ(store.updated, "last_modified");
  EXPECT_THAT(store.expose, ElementsAre("name", "section"));
  EXPECT_EQ(store.backend, Backend::kAuto);
  EXPECT_EQ(store.line, 4);
}

TEST_F(ConfigTest, OptionsOfASeedStoreAreRead) {
  const Config config = read("[store.bot]\nbackend = \"faiss\"\n");
  ASSERT_EQ(config.seeds.size(), 1U);
  EXPECT_EQ(config.seeds[0].backend, Backend::kFaiss);
  EXPECT_TRUE(config.tables.empty());
}

TEST_F(ConfigTest, AnEmptyFileHasNoStoresAndAMissingOneIsNamed) {
  EXPECT_TRUE(read("").tables.empty());
  EXPECT_TRUE(read("\xEF\xBB\xBF# with a byte order mark\n").tables.empty());
  EXPECT_THROW(read_config(folder_ / "missing.toml"), NotFound);
}

TEST_F(ConfigTest, ASyntaxErrorIsShownWithFileLineAndColumn) {
  const std::string message = refusal_of("[defaults]\nmodel = oops\n");
  EXPECT_THAT(message, HasSubstr((folder_ / "nearlite.toml").string() + ":2:9: "));
}

TEST_F(ConfigTest, AMisspelledKeyIsAnsweredWithTheNearestOne) {
  const std::string message =
      refusal_of("[store.x]\ndatabase = \"x.db\"\ntabel = \"t\"\ntext = [\"a\"]\n");
  EXPECT_THAT(message,
              HasSubstr(":3:1: unknown key \"tabel\" in [store.x]; did you mean \"table\"?"));
  EXPECT_THAT(refusal_of("[stores.x]\n"), HasSubstr("did you mean \"store\"?"));
}

TEST_F(ConfigTest, EachKeyOfTheWrongKindIsRefusedWithItsPlace) {
  const std::string head = "[store.x]\ndatabase = \"x.db\"\ntable = \"t\"\n";
  for (const char* wrong :
       {"text = 7", "text = []", "text = [7]", "text = [\"a\", \"a\"]", "text = [\"\"]",
        "text = [\"a\"]\ntemplate = \"{a}\"", "text = [\"a\"]\nbackend = \"anoy\"",
        "text = [\"a\"]\ngovernance = \"some\"", "text = [\"a\"]\nwhere = 1",
        "text = [\"a\\u0000\"]", ""}) {
    EXPECT_THAT(refusal_of(head + wrong + "\n"), HasSubstr("nearlite.toml:")) << wrong;
  }
  EXPECT_THAT(refusal_of("[store.x]\ntable = \"t\"\ntext = [\"a\"]\n"),
              HasSubstr("needs database"));
  EXPECT_THAT(refusal_of("[store.x]\ndatabase = \"d\"\ntext = [\"a\"]\n"),
              HasSubstr("needs table"));
  EXPECT_THAT(refusal_of("store = 7\n"), HasSubstr("must be a section"));
}

TEST_F(ConfigTest, TheSameStoreTwiceIsRefusedAlsoWhenOnlyTheCaseDiffers) {
  const std::string body = "\ndatabase = \"x.db\"\ntable = \"t\"\ntext = [\"a\"]\n";
  const std::string message = refusal_of("[store.x]" + body + "[store.x]" + body);
  EXPECT_THAT(message, HasSubstr(":5:"));
  EXPECT_THAT(message, HasSubstr("(first in line 1)"));
  EXPECT_THAT(refusal_of("[store.x]" + body + "[store.X]" + body), HasSubstr("line "));
}

TEST_F(ConfigTest, NamesThatCannotBeFilesAreRefused) {
  for (const char* name : {"\"a b\"", "\"../x\"", "\".x\"", "\"-x\"", "\"\"", "\"\xC3\xA9\""}) {
    const std::string text =
        std::string("[store.") + name + "]\ndatabase = \"x.db\"\ntable = \"t\"\ntext = [\"a\"]\n";
    EXPECT_THAT(refusal_of(text), HasSubstr("is no store name")) << name;
  }
  EXPECT_THROW(check_store_name(std::string(65, 'a')), InvalidArgument);
  EXPECT_NO_THROW(check_store_name(std::string(64, 'a')));
}

TEST_F(ConfigTest, ARelativePathMayNotLeaveTheDataFolder) {
  const auto store = [](const std::string& path) {
    return "[store.x]\ndatabase = \"" + path + "\"\ntable = \"t\"\ntext = [\"a\"]\n";
  };
  EXPECT_THAT(refusal_of(store("../x.db")), HasSubstr("outside of the data folder"));
  EXPECT_THAT(refusal_of(store("a/../../x.db")), HasSubstr("outside of the data folder"));
  std::filesystem::create_directory_symlink("/tmp", folder_ / "link");
  EXPECT_THAT(refusal_of(store("link/x.db")), HasSubstr("outside of the data folder"));
  EXPECT_EQ(read(store("/var/x.db")).tables[0].database, "/var/x.db");
  EXPECT_EQ(read(store("a/../x.db")).tables[0].database, folder_ / "x.db");
  const auto file = folder_.write("nearlite.toml", store("../x.db"));
  EXPECT_EQ(read_config(file, ConfigPlace::kSidecar).tables[0].database,
            folder_.path().parent_path() / "x.db");
}

TEST_F(ConfigTest, ASeedStoreIsNoTable) {
  const std::string text = "[store.bot]\ndatabase = \"x.db\"\ntable = \"t\"\ntext = [\"a\"]\n";
  EXPECT_THAT(refusal_of(text), HasSubstr("one of the six"));
  const auto file = folder_.write("nearlite.toml", text);
  EXPECT_EQ(read_config(file, ConfigPlace::kSidecar).tables[0].name, "bot");
}

TEST_F(ConfigTest, HugeDeepAndBinaryFilesAreRefusedFast) {
  EXPECT_THAT(refusal_of("a = " + std::string(100000, '[')), HasSubstr("nearlite.toml"));
  EXPECT_THAT(refusal_of(std::string(5 << 20, '#')), HasSubstr("nearlite.toml"));
  EXPECT_THAT(refusal_of("a = \"\xFF\"\n"), HasSubstr("not UTF-8 at byte 5"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(read_config(folder_ / "pipe"), InvalidArgument);
}

TEST_F(ConfigTest, AddingAStoreKeepsEveryByteThatWasThere) {
  const std::string before = "# my stores\n\n" + kPackages + "# the end, without a newline";
  const auto file = folder_.write("nearlite.toml", before);
  TableConfig store{.name = "odd.name",
                    .database = folder_ / "other.db",
                    .table = "a \"b\"\n\\ \x01",
                    .key = {"k"},
                    .text_template = "{t}: \xF0\x9F\x98\x80",
                    .where = "x = 'y'"};
  add_store(file, store);
  const std::string after = read_file(file);
  EXPECT_TRUE(after.starts_with(before));
  TableConfig read_back = read_config(file).tables[1];
  read_back.line = 0;
  EXPECT_EQ(read_back, store);
  EXPECT_THAT(after, HasSubstr("[store.\"odd.name\"]\ndatabase = \"other.db\"\n"));
  EXPECT_THROW(add_store(file, store), InvalidArgument);
  EXPECT_EQ(read_file(file), after);
}

TEST_F(ConfigTest, AStoreThatWouldBeRefusedIsNotWritten) {
  const auto file = folder_ / "nearlite.toml";
  EXPECT_THROW(add_store(file, {.name = "x", .database = folder_ / "x.db", .table = "t"}),
               InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(ConfigTest, ASidecarNamesTheDatabaseBesideIt) {
  std::filesystem::create_directory(folder_ / "app.db.nearlite");
  const auto file = folder_ / "app.db.nearlite/nearlite.toml";
  add_store(file, {.name = "t", .database = folder_ / "app.db", .table = "t", .text = {"a"}},
            ConfigPlace::kSidecar);
  EXPECT_THAT(read_file(file), HasSubstr("database = \"../app.db\"\n"));
  EXPECT_EQ(read_config(file, ConfigPlace::kSidecar).tables[0].database, folder_ / "app.db");
}

TEST_F(ConfigTest, SettingAKeyKeepsCommentsAndOrder) {
  const auto file = folder_.write("nearlite.toml", kPackages + "\n# another\n[defaults]\n");
  set_store(file, "packages", "where", "section = 'web'");
  set_store(file, "packages", "model", "org/model");
  set_store(file, "packages", "text", "name, summary");
  set_store(file, "packages", "updated", "");
  EXPECT_EQ(read_file(file), R"([store.packages]                     # any table or view
database = "packages.db"
table = "package"
key = ["id"]
text = ["name", "summary"]
where = "section = 'web'"       # optional
expose = ["name", "section"]
backend = "auto"
governance = "secrets"
model = "org/model"

# another
[defaults]
)");
}

TEST_F(ConfigTest, TheMemoryBudgetIsASize) {
  EXPECT_EQ(read("[defaults]\nmemory_budget = \"1.5 GiB\"\n").memory_budget,
            std::uint64_t{1536} << 20);
  EXPECT_EQ(read(kPackages).memory_budget, std::nullopt);
  for (const char* wrong : {"\"lots\"", "\"12\"", "512", "\"-1G\""})
    EXPECT_THAT(refusal_of(std::string("[defaults]\nmemory_budget = ") + wrong + "\n"),
                HasSubstr("memory_budget"));
}

TEST_F(ConfigTest, ValuesOverSeveralLinesAndInOtherWritingsAreReplacedWhole) {
  const auto file =
      folder_.write("nearlite.toml",
                    "[store.\"x\"]\ndatabase = 'x.db'\n# \xF0\x9F\x98\x80\ntable = 't'\n"
                    "text = [ # first\n  'a',\n  'b', # second\n]\nwhere = '''\nx = 1\n''' # c\n");
  set_store(file, "x", "text", "c");
  set_store(file, "x", "where", "y = 2");
  EXPECT_EQ(read_file(file),
            "[store.\"x\"]\ndatabase = 'x.db'\n# \xF0\x9F\x98\x80\ntable = 't'\ntext = [\"c\"]\n"
            "where = \"y = 2\" # c\n");
}

TEST_F(ConfigTest, AWrongSettingLeavesTheFileAsItWas) {
  const auto file = folder_.write("nearlite.toml", kPackages);
  EXPECT_THROW(set_store(file, "packages", "backend", "anoy"), InvalidArgument);
  EXPECT_THROW(set_store(file, "packages", "tabel", "x"), InvalidArgument);
  EXPECT_THROW(set_store(file, "packages", "table", ""), InvalidArgument);
  EXPECT_THROW(set_store(file, "package", "table", "x"), NotFound);
  EXPECT_EQ(read_file(file), kPackages);
}

TEST_F(ConfigTest, ASeedStoreGetsASectionWhenItIsSet) {
  const auto file = folder_ / "nearlite.toml";
  set_store(file, "bot", "backend", "flat");
  EXPECT_EQ(read_file(file), "[store.bot]\nbackend = \"flat\"\n");
  EXPECT_EQ(read_config(file).seeds[0].backend, Backend::kFlat);
}

TEST_F(ConfigTest, RemovingAStoreTakesItsSectionOnly) {
  const std::string other =
      "# about other\n[store.other]\ndatabase = \"x.db\"\ntable = \"t\"\ntext = [\"a\"]\n";
  const auto file = folder_.write("nearlite.toml", "# top\n" + kPackages + other);
  remove_store(file, "packages");
  EXPECT_EQ(read_file(file), "# top\n" + other);
  EXPECT_THROW(remove_store(file, "packages"), NotFound);
  remove_store(file, "other");
  EXPECT_EQ(read_file(file), "# top\n# about other\n");
}

TEST_F(ConfigTest, AModeAndALinkSurviveAChange) {
  folder_.write("real.toml", kPackages);
  ASSERT_EQ(::chmod((folder_ / "real.toml").c_str(), 0600), 0);
  std::filesystem::create_symlink("real.toml", folder_ / "nearlite.toml");
  set_store(folder_ / "nearlite.toml", "packages", "backend", "flat");
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "nearlite.toml"));
  struct stat info {};
  ASSERT_EQ(::stat((folder_ / "real.toml").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
}

TEST(StoreName, ATableIsNamedAfterItselfAndElseAfterItsFile) {
  EXPECT_EQ(default_store_name("notes", "/x/app.db", {}), "notes");
  EXPECT_EQ(default_store_name("notes", "/x/app.db", {"Notes"}), "app.notes");
  EXPECT_EQ(default_store_name("notes", "/x/app.db", {"notes", "app.notes"}), "app.notes.2");
  EXPECT_EQ(default_store_name("a b/\"c\"", "/x/app.db", {}), "a_b__c_");
  EXPECT_EQ(default_store_name("..", "/x/app.db", {}), "table");
  EXPECT_EQ(default_store_name("\xC3\xA9t\xC3\xA9", "/x/app.db", {}), "_t_");
  EXPECT_NO_THROW(check_store_name(default_store_name(std::string(1000, 'x'), "/x/app.db", {})));
}

}  // namespace
}  // namespace nearlite
