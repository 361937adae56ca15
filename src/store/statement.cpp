#include <sqlite3.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/store/connection.h"

namespace nearlite {

std::string text_of(const Value& value) {
  struct Visitor {
    std::string operator()(std::monostate) const { return {}; }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const {
      char text[64];
      sqlite3_snprintf(sizeof text, text, "%!.15g", number);  // the form of CAST(x AS TEXT)
      return text;
    }
    std::string operator()(const std::string& text) const { return text; }
    std::string operator()(const Blob&) const { return {}; }
  };
  return std::visit(Visitor{}, value);
}

void throw_sqlite(sqlite3* db, int code, const std::string& action) {
  const std::string detail = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  const std::string message = action + ": " + detail;
  const int extended = db != nullptr ? sqlite3_extended_errcode(db) : code;
  if (extended == SQLITE_READONLY_ROLLBACK || extended == SQLITE_READONLY_RECOVERY) {
    throw Unavailable(action + ": it has a hot journal, left by a program that crashed",
                      "let its own program open it once; rolling it back would change the file");
  }
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Unavailable(message, "another program holds a lock; try again when it is done");
    case SQLITE_FULL:
      throw Unavailable(message, "make room on the disk and run the same command again");
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
      throw Unavailable(message);
    case SQLITE_NOTADB:
      throw CorruptData(action + ": not an SQLite file (or encrypted)");
    case SQLITE_CORRUPT:
      throw CorruptData(message, "sqlite3 FILE .recover saves what can be read");
    default:
      throw StoreError(message, extended);
  }
}

Statement::Statement(sqlite3* db, std::string_view sql) : db_(db) {
  int code = SQLITE_READONLY_ROLLBACK;  // met where the schema has to be read again
  for (int i = 0; code == SQLITE_READONLY_ROLLBACK && i < kTriesOfSeemingHotJournal; ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    code =
        sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), 0, &statement_, nullptr);
  }
  if (code != SQLITE_OK)
    throw_sqlite(db, code, "cannot prepare \"" + std::string(sql.substr(0, 200)) + "\"");
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)),
      statement_(std::exchange(other.statement_, nullptr)),
      under_way_(std::exchange(other.under_way_, false)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(statement_, other.statement_);
  std::swap(under_way_, other.under_way_);
  return *this;
}

namespace {
void check_bind(sqlite3* db, int code) {
  if (code != SQLITE_OK) throw_sqlite(db, code, "cannot bind a value");
}
}  // namespace

Statement& Statement::bind(int position, std::nullptr_t) {
  check_bind(db_, sqlite3_bind_null(statement_, position));
  return *this;
}

Statement& Statement::bind(int position, std::int64_t value) {
  check_bind(db_, sqlite3_bind_int64(statement_, position, value));
  return *this;
}

Statement& Statement::bind(int position, double value) {
  check_bind(db_, sqlite3_bind_double(statement_, position, value));
  return *this;
}

Statement& Statement::bind(int position, std::string_view text) {
  const char* data = text.data() == nullptr ? "" : text.data();  // a null pointer would bind NULL
  check_bind(db_, sqlite3_bind_text64(statement_, position, data, text.size(), SQLITE_STATIC,
                                      SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(int position, std::span<const std::byte> blob) {
  if (blob.empty()) {
    check_bind(db_, sqlite3_bind_zeroblob(statement_, position, 0));
  } else {
    check_bind(db_,
               sqlite3_bind_blob64(statement_, position, blob.data(), blob.size(), SQLITE_STATIC));
  }
  return *this;
}

Statement& Statement::bind(int position, const Value& value) {
  struct Visitor {
    Statement& statement;
    int position;
    void operator()(std::monostate) const { statement.bind(position, nullptr); }
    void operator()(std::int64_t number) const { statement.bind(position, number); }
    void operator()(double number) const { statement.bind(position, number); }
    void operator()(const std::string& text) const {
      statement.bind(position, std::string_view(text));
    }
    void operator()(const Blob& blob) const {
      statement.bind(position, std::span<const std::byte>(blob.bytes));
    }
  };
  std::visit(Visitor{*this, position}, value);
  return *this;
}

/// Once more from the beginning, while what stood in the way may be a journal about to go.
int Statement::first_step_again(int code) {
  for (int i = 0; code == SQLITE_READONLY_ROLLBACK && i < kTriesOfSeemingHotJournal; ++i) {
    sqlite3_reset(statement_);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    code = sqlite3_step(statement_);
  }
  return code;
}

bool Statement::step() {
  int code = sqlite3_step(statement_);
  if (!under_way_) code = first_step_again(code);
  if (code == SQLITE_ROW) {
    under_way_ = true;
    return true;
  }
  if (code == SQLITE_DONE) {
    reset();
    return false;
  }
  const char* sql = sqlite3_sql(statement_);
  const std::string action =
      "cannot run \"" + std::string(sql == nullptr ? "" : sql).substr(0, 200) + "\"";
  try {
    throw_sqlite(db_, code, action);
  } catch (...) {
    reset();  // after the message was read: reset clears it
    throw;
  }
}

void Statement::reset() noexcept {
  sqlite3_reset(statement_);
  under_way_ = false;
}

int Statement::num_columns() const noexcept { return sqlite3_column_count(statement_); }

std::string Statement::column_name(int column) const {
  const char* name = sqlite3_column_name(statement_, column);
  return name == nullptr ? "" : name;
}

bool Statement::is_null(int column) const noexcept {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::int64_t Statement::int64(int column) const noexcept {
  return sqlite3_column_int64(statement_, column);
}

double Statement::real(int column) const noexcept {
  return sqlite3_column_double(statement_, column);
}

std::string_view Statement::text(int column) const noexcept {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::span<const std::byte> Statement::blob(int column) const noexcept {
  const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Value Statement::value(int column) const {
  switch (sqlite3_column_type(statement_, column)) {
    case SQLITE_INTEGER:
      return int64(column);
    case SQLITE_FLOAT:
      return real(column);
    case SQLITE_TEXT:
      return std::string(text(column));
    case SQLITE_BLOB: {
      const auto bytes = blob(column);
      return Blob{{bytes.begin(), bytes.end()}};
    }
    default:
      return std::monostate{};
  }
}

}  // namespace nearlite
