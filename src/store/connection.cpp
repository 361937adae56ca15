#include "nearlite/store/connection.h"

#include <sqlite3.h>

#include <utility>

#include "file_system.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"

namespace nearlite {
namespace {

constexpr int kBusyTimeoutMs = 5000;

/// The name for opening a file without locks and shared memory, which nobody may change meanwhile.
std::string immutable_uri(const std::filesystem::path& file) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(file).string()) {
    if (c == '?' || c == '#' || c == '%') {  // they mean something in a URI
      uri += c == '?' ? "%3f" : c == '#' ? "%23" : "%25";
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

}  // namespace

Connection Connection::open(const std::filesystem::path& file, bool create) {
  if (!create && !stamp_of(file)) throw NotFound("there is no " + file.string());
  sqlite3* handle = nullptr;
  // Where nothing can be written SQLite cannot have its shared memory: it reads the file as it is.
  const bool read_only = !create && !is_writable_place(file);
  const std::string name = read_only ? immutable_uri(file) : file.string();
  const int flags = SQLITE_OPEN_FULLMUTEX |
                    (read_only ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE) |
                    (create ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
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

std::uint64_t Connection::cache_bytes() const noexcept {
  int now = 0;
  int greatest = 0;
  sqlite3_db_status(handle_, SQLITE_DBSTATUS_CACHE_USED, &now, &greatest, 0);
  return now > 0 ? static_cast<std::uint64_t>(now) : 0;
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
