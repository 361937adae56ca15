#include "nearlite/store/same_sqlite.h"

#include <sqlite3.h>

#include <cstring>
#include <string>

#include "nearlite/base/error.h"

namespace nearlite {

void require_same_sqlite(sqlite3* db) {
  if (db == nullptr) throw InvalidArgument("the database handle is null");
  // No call may be made with a foreign handle: its layout is that of another version. But its first
  // member has been the pointer to its VFS in every SQLite 3, and each copy has VFS objects of its
  // own.
  sqlite3_vfs* vfs = nullptr;
  std::memcpy(static_cast<void*>(&vfs), db, sizeof(void*));
  for (sqlite3_vfs* known = sqlite3_vfs_find(nullptr); known != nullptr; known = known->pNext) {
    if (known == vfs) return;
  }
  throw InvalidArgument(
      "the database handle belongs to another copy of SQLite than nearlite's, which is " +
          std::string(sqlite3_libversion()) + ", " + sqlite3_sourceid(),
      "build nearlite with NEARLITE_SQLITE_TARGET naming the SQLite that the program uses");
}

}  // namespace nearlite
