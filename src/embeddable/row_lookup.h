#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "nearlite/base/clock.h"
#include "nearlite/embeddable/record.h"
#include "nearlite/store/connection.h"

struct sqlite3;

namespace nearlite {

/// What changes when anybody commits to the source.
struct SourceVersion {
  std::int64_t data = 0;         // for other connections
  std::int64_t own_changes = 0;  // for the host's own
  /// Asking sets nothing. Zeros without a handle.
  static SourceVersion of(sqlite3* source);
  friend bool operator==(const SourceVersion&, const SourceVersion&) = default;
};

/// Reads single rows of a store's source again during a run, and knows when that can be spared.
class RowLookup {
 public:
  /// source: the host's handle; null: nothing is known of when the source changes.
  RowLookup(RecordCursor finder, sqlite3* source) : finder_(std::move(finder)), source_(source) {}

  /// The first row is about to be read: what is written from now on was perhaps not seen.
  void begin() { version_ = SourceVersion::of(source_); }
  /// The row as it is now, or nothing.
  std::optional<SourceRecord> find(const RecordKey& key);

  /// For as long as it lives, rows are found in slices of at most 50 ms of one state of the source
  /// each: where an owner commits without a pause, its lock has to be waited for once per slice and
  /// not once per row.
  class Batch {
   public:
    explicit Batch(RowLookup& rows) : rows_(rows) { rows_.in_batch_ = true; }
    ~Batch() {
      rows_.in_batch_ = false;
      rows_.pin_.reset();
    }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

   private:
    RowLookup& rows_;
  };
  /// Whether rows have to be read again before they are written. Always, unless that is slow (a
  /// view that has to be computed for each look-up) and nobody has written to the database since
  /// the walk began.
  bool must_look_again();

 private:
  RecordCursor finder_;
  sqlite3* source_;
  SourceVersion version_;
  bool in_batch_ = false;
  std::optional<Statement> pin_;  // under way: keeps its connection's state
  Stopwatch pinned_;
  bool source_changed_ = false;
  std::size_t num_finds_ = 0;
  double find_ms_ = 0;
};

/// What tells later whether the source was written to: size, time and inode of the database and its
/// -wal; "" if it has no file.
std::string source_state_of(const std::filesystem::path& database);

}  // namespace nearlite
