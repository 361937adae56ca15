#pragma once

struct sqlite3;

namespace nearlite {

/// Throws InvalidArgument if `db` was opened by another copy of SQLite than the one that nearlite
/// is linked to: two copies in one process drop each other's file locks, and a handle of one means
/// nothing to the other.
void require_same_sqlite(sqlite3* db);

}  // namespace nearlite
