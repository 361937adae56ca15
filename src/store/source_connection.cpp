// Opening somebody else's database: read-only, and leaving no trace in its folder.
#include <sqlite3.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/store/connection.h"

namespace nearlite {
namespace {

std::filesystem::path with_suffix(std::filesystem::path file, const char* suffix) {
  return file += suffix;
}

std::string file_uri(const std::filesystem::path& file, const char* parameters) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(file).string()) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
        (byte >= 'a' && byte <= 'z') || byte == '/' || byte == '.' || byte == '-' || byte == '_') {
      uri += c;
    } else {
      uri += '%';
      uri += kDigits[byte >> 4];
      uri += kDigits[byte & 15U];
    }
  }
  return uri + parameters;
}

/// Waits for the owner's lock in steps of a millisecond. SQLite's own busy handler soon sleeps for
/// 100 ms at a time: an owner that commits without a pause has the lock back by then each time.
int wait_a_millisecond(void* most_ms, int times_before) {
  if (times_before >= static_cast<int>(reinterpret_cast<std::intptr_t>(most_ms))) return 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return 1;
}

sqlite3* open_handle(const std::string& uri, int flags, int busy_timeout_ms, int& code) {
  sqlite3* handle = nullptr;
  code = sqlite3_open_v2(uri.c_str(), &handle, flags | SQLITE_OPEN_URI | SQLITE_OPEN_FULLMUTEX,
                         nullptr);
  if (handle != nullptr) {
    sqlite3_extended_result_codes(handle, 1);
    // The handler gets a number where SQLite passes a pointer.
    sqlite3_busy_handler(handle, wait_a_millisecond,  // NOLINTNEXTLINE(performance-no-int-to-ptr)
                         reinterpret_cast<void*>(std::intptr_t{busy_timeout_ms}));
  }
  return handle;
}

/// One number that `sql` selects on a connection without a file, or nothing if it cannot.
std::optional<int> number_without_file(const char* sql) {
  int code = SQLITE_OK;
  sqlite3* memory = open_handle(":memory:", SQLITE_OPEN_READWRITE, 0, code);
  sqlite3_stmt* select = nullptr;
  std::optional<int> number;
  if (code == SQLITE_OK && sqlite3_prepare_v2(memory, sql, -1, &select, nullptr) == SQLITE_OK &&
      sqlite3_step(select) == SQLITE_ROW) {
    number = sqlite3_column_int(select, 0);
  }
  sqlite3_finalize(select);
  sqlite3_close_v2(memory);
  return number;
}

/// SQLite before 3.41 does not mark its JSON functions as innocuous: with trusted_schema off it
/// then cannot even open a database that has json_extract in a generated column, an index or a
/// CHECK. Where those are the only functions that the switch would shut out, it may stay on: they
/// read their arguments and nothing else. A program that brought functions or virtual tables of its
/// own keeps the switch off.
bool only_json_would_be_shut_out() {
  const std::optional<int> json = number_without_file(
      "SELECT count(*) FROM pragma_function_list WHERE name = 'json_extract' AND "
      "(flags & 0x200000) = 0");  // SQLITE_INNOCUOUS; 0x80000 is SQLITE_DIRECTONLY
  if (json.value_or(0) == 0) return false;
  // The names are those of SQLite's own JSON, FTS and R-tree: what they do is read.
  return number_without_file(
             "SELECT (SELECT count(*) FROM pragma_function_list WHERE (flags & 0x280000) = 0 AND "
             "name NOT LIKE 'json%' AND name NOT IN ('->', '->>', 'match', 'snippet', 'offsets', "
             "'matchinfo', 'optimize', 'bm25', 'highlight', 'fts5', 'fts5_source_id', "
             "'rtreenode', 'rtreedepth', 'rtreecheck')) + "
             "(SELECT count(*) FROM pragma_module_list WHERE name NOT GLOB 'pragma_*' AND "
             "name NOT IN ('fts3', 'fts4', 'fts4aux', 'fts5', 'fts5vocab', 'fts3tokenize', "
             "'rtree', 'rtree_i32', 'geopoly', 'json_each', 'json_tree', 'dbstat', 'bytecode', "
             "'tables_used', 'sqlite_stmt'))")
             .value_or(1) == 0;
}

/// A schema we did not write must not run code of its choice: no functions with side effects, no
/// triggers, no writes.
void distrust_schema(sqlite3* handle) {
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, only_json_would_be_shut_out() ? 1 : 0,
                    nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_exec(handle, "PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0",
               nullptr, nullptr, nullptr);
}

/// The first read opens journal or WAL, so it tells whether the file can be used at all.
int try_to_read(sqlite3* handle) {
  int code = SQLITE_OK;
  for (int i = 0; i < kTriesOfSeemingHotJournal; ++i) {
    code = sqlite3_exec(handle, "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr);
    if (code != SQLITE_READONLY_ROLLBACK) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return code;
}

}  // namespace

Connection Connection::open_source(const std::filesystem::path& file,
                                   std::chrono::milliseconds busy_timeout) {
  const int busy_timeout_ms = static_cast<int>(busy_timeout.count());
  const std::string action = "cannot open " + file.string();
  std::error_code ignored;
  const auto status = std::filesystem::status(file, ignored);
  if (!std::filesystem::exists(status)) throw NotFound("there is no " + file.string());
  if (!std::filesystem::is_regular_file(status))
    throw CorruptData(file.string() + " is not a regular file");
  const auto wal_before = stamp_of(with_suffix(file, "-wal"));
  if (std::filesystem::file_size(file, ignored) == 0 && stamp_of(with_suffix(file, "-journal"))) {
    // SQLite would remove the journal of an empty file, even when it reads only.
    throw Unavailable(action + ": it is empty and has a journal",
                      "let its own program open it once");
  }

  int code = SQLITE_OK;
  Connection connection(
      open_handle(file_uri(file, "?mode=ro"), SQLITE_OPEN_READONLY, busy_timeout_ms, code));
  if (code != SQLITE_OK) throw_sqlite(connection.handle_, code, action);
  distrust_schema(connection.handle_);
  code = try_to_read(connection.handle_);
  if (code == SQLITE_OK) {
    if (!wal_before && stamp_of(with_suffix(file, "-wal"))) connection.remove_wal_of_ = file;
    return connection;
  }
  // A WAL database in a folder that cannot be written has nowhere for its -shm. With no WAL beside
  // it, the file alone is the whole database, and nobody can be writing it through that folder.
  if ((code & 0xFF) == SQLITE_CANTOPEN && !wal_before) {
    Connection immutable(open_handle(file_uri(file, "?mode=ro&immutable=1"), SQLITE_OPEN_READONLY,
                                     busy_timeout_ms, code));
    distrust_schema(immutable.handle_);
    if (code == SQLITE_OK) code = try_to_read(immutable.handle_);
    if (code == SQLITE_OK) return immutable;
  }
  // With a WAL beside it, SQLite reads both without a -shm where it holds the file alone. It cannot
  // lock what it may not write; nobody can write it through that folder.
  if (wal_before &&
      ::access(file.parent_path().empty() ? "." : file.parent_path().c_str(), W_OK) != 0) {
    Connection alone(open_handle(file_uri(file, "?mode=ro&vfs=unix-none"), SQLITE_OPEN_READONLY,
                                 busy_timeout_ms, code));
    distrust_schema(alone.handle_);
    if (code == SQLITE_OK) {
      sqlite3_exec(alone.handle_, "PRAGMA locking_mode = EXCLUSIVE", nullptr, nullptr, nullptr);
      code = try_to_read(alone.handle_);
    }
    if (code == SQLITE_OK) return alone;
  }
  throw_sqlite(connection.handle_, code, action);
}

void Connection::close() noexcept {
  if (handle_ == nullptr) return;
  sqlite3_close_v2(handle_);
  handle_ = nullptr;
  if (remove_wal_of_.empty()) return;
  // A read-only connection cannot remove the -wal and -shm that it made. One that may write does so
  // when it closes as the last one: SQLite's own locks decide that, and an empty WAL changes no
  // byte of the database.
  try {
    const auto wal = stamp_of(with_suffix(remove_wal_of_, "-wal"));
    if (!wal || wal->size_bytes > 0) return;
    int code = SQLITE_OK;
    sqlite3* closer =
        open_handle(file_uri(remove_wal_of_, "?mode=rw"), SQLITE_OPEN_READWRITE, 0, code);
    if (code == SQLITE_OK) try_to_read(closer);
    sqlite3_close_v2(closer);
  } catch (const std::exception&) {  // the files stay; they do no harm
  }
}

}  // namespace nearlite
