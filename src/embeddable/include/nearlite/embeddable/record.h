#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nearlite/store/connection.h"

namespace nearlite {

/// The key of a record inside one store. As text it is JSON: `4711`, `"abc"`, `[1,"a"]`, so that
/// integer 1 and text '1' differ. `table` is empty for a store's first source table; else it is the
/// name of the other one (telemetry).
struct RecordKey {
  std::string json{};
  std::string table{};

  RecordKey() = default;
  RecordKey(
      std::int64_t id);  // NOLINT(google-explicit-constructor): add_embedding(7, ...) reads well
  RecordKey(int id) : RecordKey(std::int64_t{id}) {}  // NOLINT(google-explicit-constructor)
  explicit RecordKey(std::string_view id);
  /// One value: itself; several: an array. A BLOB is {"blob":"hex digits"}. Throws InvalidArgument
  /// for none, for NULL, and for text that is not UTF-8.
  static RecordKey of(std::span<const Value> values, std::string table = {});
  /// The values again. Throws InvalidArgument if `json` is not a key.
  std::vector<Value> values() const;
  /// What users see and type: 4711, abc, [1,"a"], telemetry:7.
  std::string display() const;

  friend auto operator<=>(const RecordKey&, const RecordKey&) = default;
};

/// The columns of one row, in order.
class Record {
 public:
  Record() = default;
  explicit Record(std::vector<std::pair<std::string, Value>> fields) : fields_(std::move(fields)) {}
  /// The text form of a column (text_of); "" if it is NULL, a BLOB or missing.
  std::string get(std::string_view column) const;
  const Value* find(std::string_view column) const;  // nullptr if missing
  void set(std::string column, Value value);         // adds or replaces
  std::span<const std::pair<std::string, Value>> fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, Value>> fields_;
};

/// A record as a store's iter_records() gives it.
struct SourceRecord {
  RecordKey key{};
  Record record{};
  std::string kind{};       // "bot", "note", ...
  std::string source_id{};  // where it came from, free text
};

/// Walks the records of a store, and reads single ones again. Move-only; used on one thread.
class RecordCursor {
 public:
  class Source {
   public:
    virtual ~Source() = default;
    /// False at the end. Throws StoreError, CorruptData or Unavailable.
    virtual bool next(SourceRecord& record) = 0;
    /// The record with this key as it is now, or nothing.
    virtual std::optional<SourceRecord> find(const RecordKey& key) = 0;
    /// Number of records, for progress; may read the whole key index.
    virtual std::size_t count() = 0;
  };
  explicit RecordCursor(std::unique_ptr<Source> source) : source_(std::move(source)) {}
  /// One cursor after the other: a store with several source tables.
  static RecordCursor chain(std::vector<RecordCursor> cursors);
  static RecordCursor of(std::vector<SourceRecord> records);

  bool next(SourceRecord& record) { return source_->next(record); }
  std::optional<SourceRecord> find(const RecordKey& key) { return source_->find(key); }
  std::size_t count() { return source_->count(); }

 private:
  std::unique_ptr<Source> source_;
};

struct QueryOptions {
  std::string kind{};
  std::string table{};      // RecordKey::table
  int num_key_columns = 1;  // the first columns of the result
  std::string source_id{};
};

/// The rows of a SELECT; its first columns are the key, unique and not NULL. find() runs the same
/// SELECT with a condition on them. Where an index gives the rows in the order of the key (any
/// table by its primary key), they are read in slices of at most 50 ms with no lock held between
/// them, so that a writer of a rollback-journal database is not shut out; and in the order of the
/// key. Otherwise one statement reads them all into a temporary file first. Throws StoreError if
/// the SELECT is wrong, InvalidArgument if it could write or has fewer columns than keys.
RecordCursor query_records(sqlite3* db, std::string select, const QueryOptions& options);

}  // namespace nearlite
