#include "nearlite/store/connection.h"

#include <sqlite3.h>

#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"

namespace nearlite {
namespace {

constexpr int kBusyTimeoutMs = 5000;

}  // namespace

Connection Connection::open(const std::filesystem::path& file, bool create) {
  if (!create && !stamp_of(file)) throw NotFound("there is no " + file.string());
  sqlite3* handle = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(file.c_str(), &handle, flags, nullptr);
  Connection connection(handle);  // owns the handle also when the open failed
  if (code != SQLITE_OK) throw_sqlite(handle, code, "cannot open " + file.string());
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  connection.execute("PRAGMA foreign_keys = ON");
  return connection;
}

Connection::~Connection() { close(); }

Connection::Connection(Connection&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      remove_wal_of_(std::exchange(other.remove_wal_of_, {})) {}

Connection& Connection::operator=(Connection&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(remove_wal_of_, other.remove_wal_of_);
  return *this;
}

void Connection::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw_sqlite(handle_, code, "cannot run \"" + sql.substr(0, 200) + "\"");
}

std::int64_t Connection::last_insert_rowid() const noexcept {
  return sqlite3_last_insert_rowid(handle_);
}

std::int64_t Connection::changes() const noexcept { return sqlite3_changes64(handle_); }

void Connection::rollback_quietly() noexcept {
  if (sqlite3_get_autocommit(handle_) == 0)
    sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

Transaction::Transaction(Connection& db) : db_(db) {
  // IMMEDIATE takes the write lock now. A deferred transaction that upgrades later can fail with
  // SQLITE_BUSY at once: SQLite does not wait where waiting could deadlock.
  db_.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!committed_) db_.rollback_quietly();
}

void Transaction::commit() {
  db_.execute("COMMIT");
  committed_ = true;  // only after success: a COMMIT that failed is still rolled back
}

std::string quote_identifier(std::string_view name) {
  if (name.find('\0') != std::string_view::npos) {
    throw InvalidArgument("a table or column name holds a NUL byte");
  }
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace nearlite
