// query_records(): walks the rows of a SELECT without shutting out the owner of the database.
#include <sqlite3.h>

#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "damaged_rows.h"
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
  }

  bool next(SourceRecord& record) override {
    if (position_ == slice_.size()) {
      slice_.clear();
      position_ = 0;
      if (!at_end_) read_slice();
      if (slice_.empty() && !damage_.empty()) throw DamagedRows(std::exchange(damage_, {}));
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
    if (!paged_) paged_ = gives_key_order(page_sql(true));
    if (*paged_) {
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
    if (first) find_end();
    if (!page) page.emplace(db_, page_sql(!first));
    for (std::size_t i = 0; i < last_key_.size(); ++i)
      page->bind(static_cast<int>(i) + 1, last_key_[i]);
    const auto deadline = std::chrono::steady_clock::now() + kSliceTime;
    bool more = false;
    while ((more = step_or_stop_at_damage(*page))) {
      if (damaged_) break;
      if (is_behind_end(*page)) {
        more = false;
        break;
      }
      slice_.push_back(record_of(*page));
      if (std::chrono::steady_clock::now() >= deadline) break;
    }
    page->reset();  // drops the read lock
    if (std::exchange(damaged_, false) && slice_.empty() && !damaged_to_the_end_)
      return read_page();  // behind it
    at_end_ =
        damaged_to_the_end_ || (!more && slice_.size() < static_cast<std::size_t>(kSliceRows));
    if (!slice_.empty()) last_key_ = slice_.back().key.values();
  }

  /// The greatest key there is when the first row is read. Rows that are appended while others are
  /// looked at are for the next time: a program that writes faster than this one reads would keep
  /// it from ever coming to an end.
  void find_end() {
    if (options_.num_key_columns != 1) return;
    try {
      Statement last(db_, with_names() + " SELECT c0 FROM r ORDER BY c0 DESC LIMIT 1");
      if (!last.step()) return;
      const Value key = last.value(0);
      if (const auto* number = std::get_if<std::int64_t>(&key)) end_ = *number;
    } catch (const CorruptData&) {
      end_.reset();  // a damaged page: as far as there are rows
    }
  }

  bool is_behind_end(const Statement& row) const {
    if (!end_) return false;
    const Value key = row.value(0);
    const auto* number = std::get_if<std::int64_t>(&key);
    return number != nullptr && *number > *end_;
  }

  /// Whether there is a row, or damage in its place. Rows before it count: the next slice then
  /// begins at the damage, and is moved behind it.
  bool step_or_stop_at_damage(Statement& page) {
    try {
      return page.step();
    } catch (const CorruptData&) {
      page.reset();
      if (slice_.empty() && !find_row_behind_damage()) throw;
      damaged_ = true;
      return true;
    }
  }

  /// Looks for the first key behind the damaged page: further and further away until one can be
  /// read, then back as near as that goes. Rows are found from the root of the tree, so that what
  /// lies on other pages is read as ever. Where there is none, the rows that were read are all
  /// there are. False if none was read either, or keys are no integers.
  bool find_row_behind_damage() {
    if (options_.num_key_columns != 1) return false;
    // Where nothing was read yet, keys are likely to begin behind 0.
    if (last_key_.empty())
      return find_row_behind(0) || find_row_behind(std::numeric_limits<std::int64_t>::min());
    const auto* key = std::get_if<std::int64_t>(&last_key_.front());
    return key != nullptr && find_row_behind(*key);
  }

  bool find_row_behind(std::int64_t before) {
    const auto distance = [&](std::int64_t key) {
      return static_cast<std::uint64_t>(key) - static_cast<std::uint64_t>(before);
    };
    const auto at = [&](std::uint64_t far) {
      return static_cast<std::int64_t>(static_cast<std::uint64_t>(before) + far);
    };
    const std::uint64_t most = distance(std::numeric_limits<std::int64_t>::max()) - 1;
    std::uint64_t bad = 0;
    std::uint64_t good = 1;
    while (!can_read_behind(at(good))) {
      bad = good;
      if (good == most) {
        if (last_key_.empty()) return false;
        damage_.push_back("the rows behind " + std::to_string(before));
        damaged_to_the_end_ = true;
        return true;
      }
      good = good > most / 2 ? most : good * 2;
    }
    while (good - bad > 1) {
      const std::uint64_t middle = bad + (good - bad) / 2;
      (can_read_behind(at(middle)) ? good : bad) = middle;
    }
    const std::string first = last_key_.empty() ? "the first row" : std::to_string(before);
    last_key_ = {Value(at(good))};
    damage_.push_back("the rows between " + first + " and " + std::to_string(at(good) + 1));
    return true;
  }

  bool can_read_behind(std::int64_t key) {
    if (!probe_) {
      probe_.emplace(db_, with_names() + " SELECT c0 FROM r WHERE c0 > ?1 ORDER BY c0 LIMIT 1");
    }
    bool readable = true;
    try {
      probe_->bind(1, key).step();
    } catch (const CorruptData&) {
      readable = false;
    }
    probe_->reset();
    return readable;
  }

  SourceRecord record_of(const Statement& row) const {
    std::vector<Value> key;
    std::vector<std::pair<std::string, Value>> fields;
    key.reserve(static_cast<std::size_t>(options_.num_key_columns));
    fields.reserve(names_.size());
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
  std::optional<bool> paged_;  // nothing: not needed yet
  bool at_end_ = false;
  std::vector<SourceRecord> slice_;
  std::size_t position_ = 0;
  std::vector<Value> last_key_;
  std::optional<Statement> first_page_;
  std::optional<Statement> next_page_;
  std::unique_ptr<RowSpool> spool_;
  std::optional<Statement> find_;
  std::optional<Statement> probe_;
  std::optional<std::int64_t> end_;  // the greatest key to be read; nothing: all
  bool damaged_ = false;             // the slice ended at a damaged page
  bool damaged_to_the_end_ = false;  // and no row behind it can be read
  std::vector<std::string> damage_;
};

}  // namespace

RecordCursor query_records(sqlite3* db, std::string select, const QueryOptions& options) {
  return RecordCursor(std::make_unique<QuerySource>(db, std::move(select), options));
}

}  // namespace nearlite
