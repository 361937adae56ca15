#include "sql_condition.h"

#include <sqlite3.h>

#include <exception>
#include <memory>
#include <unordered_set>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite {
namespace {

constexpr const char* kReadOnlyHint =
    "a condition is one read-only SQL expression over the columns of the table, such as "
    "section = 'web' AND size > 100";

int allow_reading(void* /*context*/, int action, const char* /*first*/, const char* second,
                  const char* /*database*/, const char* /*trigger*/) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      return second != nullptr && to_lower_ascii(second) == "load_extension" ? SQLITE_DENY
                                                                             : SQLITE_OK;
    default:
      return SQLITE_DENY;  // also SQLITE_RECURSIVE: a query that may never end
  }
}

/// Statements prepared while this lives may only read.
class ReadingOnly {
 public:
  ReadingOnly(sqlite3* db, bool strict_quotes) : db_(db) {
    sqlite3_set_authorizer(db_, &allow_reading, nullptr);
    // Otherwise "nmae" = 'x' with a misspelled column compares two strings and selects nothing.
    if (strict_quotes) sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 0, &strict_);
    strict_set_ = strict_quotes;
  }
  ~ReadingOnly() {
    sqlite3_set_authorizer(db_, nullptr, nullptr);
    if (strict_set_) sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 1, nullptr);
  }
  ReadingOnly(const ReadingOnly&) = delete;
  ReadingOnly& operator=(const ReadingOnly&) = delete;

 private:
  sqlite3* db_;
  int strict_ = 0;
  bool strict_set_ = false;
};

/// The position after the string, quoted name or comment that starts at `at`; `at` itself if none
/// does.
std::size_t skip_quoted(std::string_view sql, std::size_t at) {
  const char c = sql[at];
  if (c == '\'' || c == '"' || c == '`') {
    for (std::size_t i = at + 1; i < sql.size(); ++i) {
      if (sql[i] != c) continue;
      if (i + 1 < sql.size() && sql[i + 1] == c) {
        ++i;  // doubled: a quote inside
        continue;
      }
      return i + 1;
    }
    return std::string_view::npos;
  }
  const auto behind = [&](std::string_view end, std::size_t from) {
    const std::size_t found = sql.find(end, from);
    return found == std::string_view::npos ? found : found + end.size();
  };
  if (c == '[') return behind("]", at);
  if (sql.substr(at, 2) == "/*") return behind("*/", at + 2);
  if (sql.substr(at, 2) == "--") {
    const std::size_t end = behind("\n", at);
    return end == std::string_view::npos ? sql.size() : end;
  }
  return at;
}

/// An expression cannot close our bracket and go on with something else.
void check_one_expression(const std::string& where) {
  const auto refuse = [&](const std::string& why) {
    throw InvalidArgument("the condition " + where + " is refused: " + why, kReadOnlyHint);
  };
  if (where.find_first_not_of(" \t\r\n") == std::string::npos) refuse("it is empty");
  if (where.find('\0') != std::string::npos) refuse("it holds a NUL byte");
  int depth = 0;
  for (std::size_t at = 0; at < where.size();) {
    const std::size_t next = skip_quoted(where, at);
    if (next == std::string_view::npos) refuse("a quote or comment in it is not closed");
    if (next != at) {
      at = next;
      continue;
    }
    if (where[at] == '(') ++depth;
    if (where[at] == ')' && --depth < 0) refuse("a bracket closes that was not opened");
    if (where[at] == ';') refuse("it holds more than one statement");
    ++at;
  }
  if (depth != 0) refuse("a bracket is not closed");
}

[[noreturn]] void throw_condition_error(const TableSchema& table, const std::string& where,
                                        const StoreError& error) {
  const std::string what = error.what();
  const std::string marker = "no such column: ";
  if (const std::size_t at = what.find(marker); at != std::string::npos) {
    const std::string column = what.substr(at + marker.size());
    const std::vector<std::string> names = table.column_names();
    const auto near = nearest_name(column, names);
    throw NotFound("\"" + table.name + "\" has no column " + column +
                   (near ? "; did you mean " + *near + "?" : ".") +
                   " Its columns: " + join_names(names));
  }
  if ((error.sqlite_code() & 0xff) == SQLITE_AUTH) {
    throw InvalidArgument("the condition " + where + " is refused: it may only read",
                          kReadOnlyHint);
  }
  throw InvalidArgument("the condition " + where + " is no SQL expression: " + what, kReadOnlyHint);
}

/// `columns` FROM table WHERE where, prepared under the authorizer.
Statement prepare_condition(const Connection& db, const TableSchema& table,
                            const std::string& columns, const std::string& where) {
  check_one_expression(where);
  if (table.kind == TableKind::kVirtual) {
    // Connects the virtual table, for which its module prepares statements that the authorizer
    // would refuse.
    db.prepare("SELECT * FROM " + quote_identifier(table.name) + " LIMIT 0");
  }
  const ReadingOnly guard(db.handle(), table.kind == TableKind::kTable);
  try {
    // The newline ends a comment that the expression may end with.
    Statement select = db.prepare("SELECT " + columns + " FROM " + quote_identifier(table.name) +
                                  " WHERE (" + where + "\n)");
    if (sqlite3_bind_parameter_count(select.handle()) > 0) {
      throw InvalidArgument("the condition " + where + " holds a parameter without a value",
                            kReadOnlyHint);
    }
    return select;
  } catch (const StoreError& error) {
    throw_condition_error(table, where, error);
  }
}

struct Deadline {
  std::chrono::steady_clock::time_point end;
  static int is_over(void* deadline) {
    return std::chrono::steady_clock::now() > static_cast<Deadline*>(deadline)->end ? 1 : 0;
  }
};

using KeySet = std::unordered_set<std::string>;

void collect_keys(Statement& select, const ConditionSource& source, KeySet& keys) {
  std::vector<Value> values(source.key.size());
  while (select.step()) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = select.value(static_cast<int>(i));
    try {
      keys.insert(RecordKey::of(values).json);
    } catch (const InvalidArgument&) {
      continue;  // a row without a usable key is in no index either
    }
  }
}

std::string identifier(const TableSchema& table, const std::string& column) {
  return table.column(column) == nullptr ? column : quote_identifier(column);
}

}  // namespace

std::string select_list(const TableSchema& table, const std::vector<std::string>& columns) {
  std::string list;
  for (const std::string& column : columns) {
    if (!list.empty()) list += ", ";
    list += identifier(table, column) + " AS " + quote_identifier(column);
  }
  return list;
}

void check_condition(const Connection& db, const TableSchema& table, const std::string& where) {
  prepare_condition(db, table, "1", where);
}

std::function<bool(const RecordKey&)> keys_where(const std::filesystem::path& database,
                                                 const std::vector<ConditionSource>& sources,
                                                 const std::string& where,
                                                 std::chrono::milliseconds limit) {
  // Its own connection: the time limit must not stop what other threads do on the store's.
  Connection db = Connection::open_source(database);
  Deadline deadline{std::chrono::steady_clock::now() + limit};
  auto keys = std::make_shared<std::vector<std::pair<std::string, KeySet>>>();
  std::exception_ptr first_misfit;
  for (const ConditionSource& source : sources) {
    try {
      Statement select =
          prepare_condition(db, source.table, select_list(source.table, source.key), where);
      sqlite3_progress_handler(db.handle(), 10000, &Deadline::is_over, &deadline);
      keys->emplace_back(source.key_space, KeySet{});
      collect_keys(select, source, keys->back().second);
    } catch (const NotFound&) {
      if (!first_misfit) first_misfit = std::current_exception();
    } catch (const Error&) {
      if (std::chrono::steady_clock::now() <= deadline.end) throw;
      throw Unavailable("the condition " + where + " was stopped after " +
                            std::to_string(limit.count() / 1000) + " s",
                        "make it simpler, or add an index for it to the database");
    }
    sqlite3_progress_handler(db.handle(), 0, nullptr, nullptr);
  }
  if (keys->empty() && first_misfit) std::rethrow_exception(first_misfit);
  return [keys](const RecordKey& key) {
    for (const auto& [space, set] : *keys) {
      if (space == key.table && set.contains(key.json)) return true;
    }
    return false;
  };
}

Record read_row_fields(const Connection& db, const TableSchema& table,
                       const std::vector<std::string>& key_columns, const RecordKey& key,
                       const std::vector<std::string>& columns) {
  std::vector<std::string> known;
  for (const std::string& column : columns) known.push_back(known_column(table, column));
  const std::vector<Value> values = key.values();
  if (columns.empty() || values.size() != key_columns.size()) return {};
  std::string sql = "SELECT " + select_list(table, known) + " FROM " + quote_identifier(table.name);
  for (std::size_t i = 0; i < key_columns.size(); ++i) {
    sql += (i == 0 ? " WHERE " : " AND ") + identifier(table, key_columns[i]) + " IS ?";
  }
  Statement select = db.prepare(sql);
  for (std::size_t i = 0; i < values.size(); ++i) select.bind(static_cast<int>(i) + 1, values[i]);
  Record record;
  if (select.step()) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      record.set(known[i], select.value(static_cast<int>(i)));
    }
  }
  return record;
}

}  // namespace nearlite
