#pragma once

#include <optional>

#include "nearlite/base/clock.h"
#include "nearlite/store/connection.h"
#include "row_lookup.h"

namespace nearlite {

/// Has all that is read from the source while it lives be one state of it, as far as that shuts out
/// no writer. With a WAL: always, a reader and the writer do not wait for each other. With a
/// rollback journal a reader's lock keeps the writer from committing, so it is dropped after 50 ms;
/// consistent() then tells whether somebody has written since.
class SourceSnapshot {
 public:
  /// source: the host's handle, of this thread; null: nothing is held. Throws Unavailable.
  explicit SourceSnapshot(sqlite3* source);

  /// To be called between rows.
  void let_writers_in();
  bool consistent() const;

 private:
  sqlite3* source_;
  bool wal_ = false;
  std::optional<Statement> pin_;  // a statement under way keeps its connection's state
  SourceVersion version_;
  Stopwatch held_;
};

}  // namespace nearlite
