#pragma once

#include <memory>

#include "nearlite/store/connection.h"

namespace nearlite {

/// Rows of a query set aside, in memory and beyond some megabytes in a temporary file of SQLite's
/// own that vanishes with the program: so that the statement that reads them is done, and its lock
/// gone, before anything slow is done with them. Used on one thread.
class RowSpool {
 public:
  /// Runs `rows` to its end. Throws StoreError, or Unavailable if there is no room.
  explicit RowSpool(Statement& rows);
  ~RowSpool();
  RowSpool(const RowSpool&) = delete;
  RowSpool& operator=(const RowSpool&) = delete;

  /// The next row in the order of the query, with its columns and their types; null at the end.
  const Statement* next();

 private:
  struct Close {
    void operator()(sqlite3* db) const noexcept;
  };
  std::unique_ptr<sqlite3, Close> db_;
  std::unique_ptr<Statement> read_;
};

}  // namespace nearlite
