#include "nearlite/retrieval/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_store.h"
#include "nearlite/databases/table_store.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Filters : public testing::Test {
 protected:
  Filters() {
    Connection db = Connection::open(folder_.path() / "shop.db", true);
    db.execute(
        "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, size INTEGER, price REAL, secret "
        "TEXT);"
        "INSERT INTO item VALUES (1, 'it''s', 5, 1.5, 'x'), (2, 'lamp', NULL, 2.5, 'y'),"
        "(3, '100%', 70, -1, 'z'), (4, 'LAMP', 9223372036854775807, 4, 'z')");
    TableConfig config;
    config.name = "item";
    config.database = folder_.path() / "shop.db";
    config.table = "item";
    config.text = {"name"};
    config.expose = {"id", "name", "size", "price"};
    EmbeddableOptions options = TableStore::options_for(config, folder_.path());
    options.encoder = std::make_shared<WordEncoder>();
    store_ = std::make_unique<TableStore>(config, options);
  }

  std::vector<int> ids(const std::vector<FieldFilter>& filters, const std::string& where = "") {
    const auto passes = keys_passing(*store_, where, filters);
    std::vector<int> ids;
    for (int id = 1; id <= 4; ++id) {
      if (!passes || passes(RecordKey(id))) ids.push_back(id);
    }
    return ids;
  }
  static FieldFilter filter(const std::string& field, const std::string& op,
                            std::vector<Value> values) {
    return {field, filter_op_of(op), std::move(values)};
  }

  TemporaryFolder folder_;
  std::unique_ptr<TableStore> store_;
};

TEST_F(Filters, CompareAFieldWithAValue) {
  EXPECT_THAT(ids({filter("size", "=", {std::int64_t{5}})}), ElementsAre(1));
  EXPECT_THAT(ids({filter("size", "!=", {std::int64_t{5}})}), ElementsAre(3, 4));
  EXPECT_THAT(ids({filter("price", "<", {2.5})}), ElementsAre(1, 3));
  EXPECT_THAT(ids({filter("price", "<=", {2.5})}), ElementsAre(1, 2, 3));
  EXPECT_THAT(ids({filter("price", ">", {2.5})}), ElementsAre(4));
  EXPECT_THAT(ids({filter("size", ">=", {std::int64_t{70}})}), ElementsAre(3, 4));
  EXPECT_THAT(ids({filter("name", "in", {"lamp", "it's"})}), ElementsAre(1, 2));
  EXPECT_THAT(ids({filter("name", "in", {})}), IsEmpty());
  EXPECT_THAT(ids({filter("name", "like", {"lam_"})}), ElementsAre(2, 4));
  EXPECT_THAT(ids({filter("size", "=", {std::numeric_limits<std::int64_t>::max()})}),
              ElementsAre(4));
  EXPECT_THAT(ids({filter("size", ">", {std::numeric_limits<std::int64_t>::min()})}),
              ElementsAre(1, 3, 4));
}

TEST_F(Filters, AskWhetherAFieldIsNull) {
  EXPECT_THAT(ids({filter("size", "=", {Value{}})}), ElementsAre(2));
  EXPECT_THAT(ids({filter("size", "!=", {Value{}})}), ElementsAre(1, 3, 4));
  EXPECT_THROW(ids({filter("size", "<", {Value{}})}), InvalidArgument);
}

TEST_F(Filters, AllHaveToHoldAndTheConditionToo) {
  EXPECT_THAT(ids({filter("price", ">", {0.0}), filter("name", "like", {"lamp"})}),
              ElementsAre(2, 4));
  EXPECT_THAT(ids({filter("name", "like", {"lamp"})}, "secret = 'z'"), ElementsAre(4));
  EXPECT_THAT(ids({}), ElementsAre(1, 2, 3, 4));
}

TEST_F(Filters, AValueIsNeverReadAsSql) {
  EXPECT_THAT(ids({filter("name", "=", {"it's"})}), ElementsAre(1));
  EXPECT_THAT(ids({filter("name", "=", {"' OR 1=1 --"})}), IsEmpty());
  EXPECT_THAT(ids({filter("name", "like", {"x' OR '1'='1"})}), IsEmpty());
  EXPECT_THAT(ids({filter("name", "=", {"?1"})}), IsEmpty());
  EXPECT_THROW(ids({filter("name", "=", {std::string("a\0b", 3)})}), InvalidArgument);
  EXPECT_THROW(ids({filter("name", "=", {"\xff"})}), InvalidArgument);
}

TEST_F(Filters, ReachExposedFieldsOnly) {
  try {
    ids({filter("secret", "=", {"x"})});
    FAIL() << "a field that is not exposed was taken";
  } catch (const NotFound& error) {
    EXPECT_THAT(error.hint(), HasSubstr("id, name, size, price"));
  }
  EXPECT_THROW(ids({filter("name\" OR \"secret", "=", {"x"})}), NotFound);
  EXPECT_THAT(ids({filter("NAME", "=", {"lamp"})}), ElementsAre(2));
}

TEST_F(Filters, ListTheOperators) {
  try {
    filter_op_of("~");
    FAIL() << "an unknown operator was taken";
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.hint(), HasSubstr("= != < <= > >= in like"));
  }
}

}  // namespace
}  // namespace nearlite
