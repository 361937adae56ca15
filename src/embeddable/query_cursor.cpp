// query_records(): walks the rows of a SELECT without shutting out the owner of the database.
#include <sqlite3.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/embeddable/record.h"
#include "row_spool.h"

namespace nearlite {
namespace {

constexpr std::chrono::milliseconds kSliceTime{50};
constexpr std::int64_t kSliceRows = 1000;

/// c0, c1, ... or, with a suffix, c0 = ?1 AND c1 = ?2.
std::string key_columns(int count, bool compared) {
  std::string sql;
  for (int i = 0; i < count; ++i) {
    if (i > 0) sql += compared ? " AND " : ", ";
    sql += "c" + std::to_string(i);
    if (compared) sql += " = ?" + std::to_string(i + 1);
  }
  return sql;
}

class QuerySource : public RecordCursor::Source {
 public:
  QuerySource(sqlite3* db, std::string select, QueryOptions options)
      : db_(db), select_(std::move(select)), options_(std::move(options)) {
    read_columns();
    paged_ = gives_key_order(page_sql(true));
  }

  bool next(SourceRecord& record) override {
    if (position_ == slice_.size()) {
      slice_.clear();
      position_ = 0;
      if (!at_end_) read_slice();
      if (slice_.empty()) return false;
    }
    record = std::move(slice_[position_++]);
    return true;
  }

  std::optional<SourceRecord> find(const RecordKey& key) override {
    if (key.table != options_.table) return std::nullopt;
    const std::vector<Value> values = key.values();
    if (values.size() != static_cast<std::size_t>(options_.num_key_columns)) return std::nullopt;
    if (!find_)
      find_.emplace(db_, with_names() + " SELECT * FROM r WHERE " +
                             key_columns(options_.num_key_columns, true));
    find_->reset();
    for (std::size_t i = 0; i < values.size(); ++i) find_->bind(static_cast<int>(i) + 1, values[i]);
    std::optional<SourceRecord> found;
    // Column affinity may match '1' with 1: only the very key counts.
    while (!found && find_->step()) {
      SourceRecord record = record_of(*find_);
      if (record.key == key) found = std::move(record);
    }
    find_->reset();
    return found;
  }

  std::size_t count() override {
    Statement statement(db_, "SELECT count(*) FROM (" + select_ + ")");
    return statement.step() ? static_cast<std::size_t>(statement.int64(0)) : 0;
  }

 private:
  void read_columns() {
    while (!select_.empty() &&
           (select_.back() == ';' || std::isspace(static_cast<unsigned char>(select_.back())))) {
      select_.pop_back();
    }
    sqlite3_stmt* raw = nullptr;
    const char* tail = nullptr;
    const int code = sqlite3_prepare_v2(db_, select_.c_str(), -1, &raw, &tail);
    if (code != SQLITE_OK)
      throw_sqlite(db_, code, "cannot prepare \"" + select_.substr(0, 200) + "\"");
    const bool reads =
        raw != nullptr && sqlite3_stmt_readonly(raw) != 0 && tail != nullptr && *tail == '\0';
    for (int i = 0; i < sqlite3_column_count(raw); ++i)
      names_.emplace_back(sqlite3_column_name(raw, i));
    sqlite3_finalize(raw);
    if (!reads)
      throw InvalidArgument("\"" + select_.substr(0, 200) + "\" is not one read-only SELECT");
    if (options_.num_key_columns < 1 ||
        names_.size() < static_cast<std::size_t>(options_.num_key_columns)) {
      throw InvalidArgument("the SELECT has " + std::to_string(names_.size()) +
                            " columns, the key wants " + std::to_string(options_.num_key_columns));
    }
  }

  /// The SELECT as r(c0, c1, ...): its own column names may be odd, equal or missing.
  std::string with_names() const {
    std::string sql = "WITH r(";
    for (std::size_t i = 0; i < names_.size(); ++i)
      sql += (i > 0 ? ", c" : "c") + std::to_string(i);
    return sql + ") AS (" + select_ + ")";
  }

  std::string page_sql(bool after_key) const {
    const int n = options_.num_key_columns;
    std::string sql = with_names() + " SELECT * FROM r";
    if (after_key) {
      std::string parameters;
      for (int i = 1; i <= n; ++i) parameters += (i > 1 ? ", ?" : "?") + std::to_string(i);
      sql += " WHERE (" + key_columns(n, false) + ") > (" + parameters + ")";
    }
    return sql + " ORDER BY " + key_columns(n, false) + " LIMIT " + std::to_string(kSliceRows);
  }

  /// Whether SQLite can start behind a key and go on in its order without sorting everything for
  /// each slice.
  bool gives_key_order(const std::string& sql) const {
    Statement plan(db_, "EXPLAIN QUERY PLAN " + sql);
    bool searches = false;
    while (plan.step()) {
      const std::string_view detail = plan.text(3);
      if (detail.find("TEMP B-TREE") != std::string_view::npos ||
          detail.find("MATERIALIZE") != std::string_view::npos ||
          detail.find("CO-ROUTINE") != std::string_view::npos) {
        return false;
      }
      searches = searches || detail.starts_with("SEARCH");
    }
    return searches;
  }

  void read_slice() {
    if (paged_) {
      read_page();
    } else {
      if (!spool_) {
        Statement whole(db_, select_);
        spool_ = std::make_unique<RowSpool>(whole);
      }
      for (std::int64_t i = 0; i < kSliceRows; ++i) {
        const Statement* row = spool_->next();
        if (row == nullptr) {
          at_end_ = true;
          spool_.reset();
          break;
        }
        slice_.push_back(record_of(*row));
      }
    }
  }

  void read_page() {
    const bool first = last_key_.empty();
    std::optional<Statement>& page = first ? first_page_ : next_page_;
    if (!page) page.emplace(db_, page_sql(!first));
    for (std::size_t i = 0; i < last_key_.size(); ++i)
      page->bind(static_cast<int>(i) + 1, last_key_[i]);
    const auto deadline = std::chrono::steady_clock::now() + kSliceTime;
    bool more = false;
    while ((more = page->step())) {
      slice_.push_back(record_of(*page));
      if (std::chrono::steady_clock::now() >= deadline) break;
    }
    page->reset();  // drops the read lock
    at_end_ = !more && slice_.size() < static_cast<std::size_t>(kSliceRows);
    if (!slice_.empty()) last_key_ = slice_.back().key.values();
  }

  SourceRecord record_of(const Statement& row) const {
    std::vector<Value> key;
    std::vector<std::pair<std::string, Value>> fields;
    for (int i = 0; i < row.num_columns(); ++i) {
      Value value = row.value(i);
      if (i < options_.num_key_columns) {
        if (std::holds_alternative<std::monostate>(value)) {
          throw CorruptData("the key column " + names_[static_cast<std::size_t>(i)] + " holds NULL",
                            "name another key");
        }
        key.push_back(value);
      }
      fields.emplace_back(names_[static_cast<std::size_t>(i)], std::move(value));
    }
    return {RecordKey::of(key, options_.table), Record(std::move(fields)), options_.kind,
            options_.source_id};
  }

  sqlite3* db_;
  std::string select_;
  QueryOptions options_;
  std::vector<std::string> names_;
  bool paged_ = false;
  bool at_end_ = false;
  std::vector<SourceRecord> slice_;
  std::size_t position_ = 0;
  std::vector<Value> last_key_;
  std::optional<Statement> first_page_;
  std::optional<Statement> next_page_;
  std::unique_ptr<RowSpool> spool_;
  std::optional<Statement> find_;
};

}  // namespace

RecordCursor query_records(sqlite3* db, std::string select, const QueryOptions& options) {
  return RecordCursor(std::make_unique<QuerySource>(db, std::move(select), options));
}

}  // namespace nearlite
