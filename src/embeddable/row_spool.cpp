#include "row_spool.h"

#include <sqlite3.h>

#include <string>

namespace nearlite {
namespace {

void run(sqlite3* db, const std::string& sql) {
  const int code = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw_sqlite(db, code, "cannot set rows aside");
}

}  // namespace

void RowSpool::Close::operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }

RowSpool::RowSpool(Statement& rows) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2("", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  db_.reset(db);
  if (code != SQLITE_OK) throw_sqlite(db, code, "cannot set rows aside");
  std::string columns;
  std::string parameters;
  for (int i = 0; i < rows.num_columns(); ++i) {
    columns += (i > 0 ? ", c" : "c") + std::to_string(i);
    parameters += (i > 0 ? ", ?" : "?") + std::to_string(i + 1);
  }
  run(db,
      "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -32768;"
      "CREATE TABLE spool(" +
          columns + "); BEGIN");
  {
    Statement insert(db, "INSERT INTO spool VALUES (" + parameters + ")");
    while (rows.step()) {
      for (int i = 0; i < rows.num_columns(); ++i)
        sqlite3_bind_value(insert.handle(), i + 1, sqlite3_column_value(rows.handle(), i));
      insert.run();
    }
  }
  run(db, "COMMIT");
  read_ = std::make_unique<Statement>(db, "SELECT * FROM spool ORDER BY rowid");
}

RowSpool::~RowSpool() = default;

const Statement* RowSpool::next() { return read_->step() ? read_.get() : nullptr; }

}  // namespace nearlite
