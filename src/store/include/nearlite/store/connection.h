#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace nearlite {

struct Blob {
  std::vector<std::byte> bytes{};
  friend bool operator==(const Blob&, const Blob&) = default;
};

/// One value as SQLite holds it; monostate is NULL.
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;

/// The text form that SQLite shows: "" for NULL and BLOB, numbers as CAST(x AS TEXT) gives them.
std::string text_of(const Value& value);

/// Throws the error that a SQLite result code means: busy, locked, full, no permission ->
/// Unavailable; not a database, corrupt -> CorruptData; anything else StoreError. `action` reads
/// like "cannot insert".
[[noreturn]] void throw_sqlite(sqlite3* db, int code, const std::string& action);

/// A journal that its owner is just about to remove looks for a moment like one that a crash left.
/// So a read that meets one is repeated, a millisecond apart, before the journal is called hot.
inline constexpr int kTriesOfSeemingHotJournal = 100;

/// A prepared statement. Bind positions start at 1, columns at 0. Not shared by threads.
class Statement {
 public:
  /// Throws StoreError with SQLite's message.
  Statement(sqlite3* db, std::string_view sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;

  Statement& bind(int position, std::nullptr_t);
  Statement& bind(int position, std::int64_t value);
  Statement& bind(int position, double value);
  Statement& bind(int position, std::string_view text);  // the bytes must live until reset()
  Statement& bind(int position, std::span<const std::byte> blob);  // the same
  Statement& bind(int position, const Value& value);               // the same

  /// True: a row is ready. False: done, and the statement was reset.
  bool step();
  void reset() noexcept;
  /// bind(1, a), bind(2, b), ... then step to the end, then reset.
  template <typename... Args>
  void run(const Args&... args) {
    int position = 0;
    (bind(++position, args), ...);
    while (step()) {
    }
  }

  int num_columns() const noexcept;
  std::string column_name(int column) const;
  bool is_null(int column) const noexcept;
  std::int64_t int64(int column) const noexcept;
  double real(int column) const noexcept;
  std::string_view text(int column) const noexcept;            // valid until the next step or reset
  std::span<const std::byte> blob(int column) const noexcept;  // the same
  Value value(int column) const;

  sqlite3_stmt* handle() const noexcept { return statement_; }

 private:
  int first_step_again(int code);

  sqlite3* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  bool under_way_ = false;  // has given a row since the last reset
};

/// An open database of ours (sidecar, metrics, seed store), or a user's file opened read-only.
/// SQLite's own mutex makes single calls safe from several threads; statements belong to one
/// thread.
class Connection {
 public:
  /// Opens for reading and writing, creates the file when `create` is set. Foreign keys on, busy
  /// timeout 5 s. Throws NotFound, Unavailable, CorruptData.
  static Connection open(const std::filesystem::path& file, bool create);

  /// Opens somebody else's file without ever changing it or its folder (interface.md §1):
  /// read-only, no PRAGMA that writes, trusted_schema off (unless that would only shut out the JSON
  /// functions of an old SQLite), a hot journal refused (Unavailable, exit
  /// 4), -wal and -shm files that this open made removed again when the connection closes and
  /// nobody else uses the database.
  static Connection open_source(const std::filesystem::path& file,
                                std::chrono::milliseconds busy_timeout = std::chrono::seconds(5));

  ~Connection();
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;

  void execute(const std::string& sql);  // one or more statements without results
  Statement prepare(std::string_view sql) const { return {handle_, sql}; }
  std::int64_t last_insert_rowid() const noexcept;
  std::int64_t changes() const noexcept;
  sqlite3* handle() const noexcept { return handle_; }
  /// Bytes of memory that its pages take now.
  std::uint64_t cache_bytes() const noexcept;
  void rollback_quietly() noexcept;

 private:
  explicit Connection(sqlite3* handle) : handle_(handle) {}
  void close() noexcept;

  sqlite3* handle_ = nullptr;
  std::filesystem::path
      remove_wal_of_;  // set when our open made the -wal and -shm of a user's file
};

/// A write transaction: begun here, rolled back when the scope ends unless commit() was reached.
class Transaction {
 public:
  explicit Transaction(Connection& db);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Connection& db_;
  bool committed_ = false;
};

/// `name` as an SQL identifier: in double quotes, inner ones doubled. Throws InvalidArgument for a
/// NUL byte.
std::string quote_identifier(std::string_view name);

}  // namespace nearlite
