#include "nearlite/store/same_sqlite.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>
#include <string>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

TEST(SameSqlite, TakesHandlesOfEveryVfsOfOurCopy) {
  for (const char* vfs : {"unix", "unix-excl", "memdb"}) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open_v2(":memory:", &db, SQLITE_OPEN_READWRITE, vfs), SQLITE_OK) << vfs;
    EXPECT_NO_THROW(require_same_sqlite(db)) << vfs;
    sqlite3_close(db);
  }
}

TEST(SameSqlite, RefusesAHandleWhoseVfsItDoesNotKnow) {
  int vfs_of_another_copy = 0;
  std::array<void*, 64> other{&vfs_of_another_copy};  // as a handle begins
  try {
    require_same_sqlite(reinterpret_cast<sqlite3*>(other.data()));
    FAIL() << "not refused";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(sqlite3_sourceid()), std::string::npos);
  }
  EXPECT_THROW(require_same_sqlite(nullptr), InvalidArgument);
}

}  // namespace
}  // namespace nearlite
