#include "row_lookup.h"

#include <sqlite3.h>

#include "nearlite/base/files.h"

namespace nearlite {
namespace {

constexpr std::size_t kFindsToJudge = 20;
constexpr double kSlowFindMs = 1;
constexpr double kMostMsPinned = 50;

}  // namespace

SourceVersion SourceVersion::of(sqlite3* source) {
  if (source == nullptr) return {};
  Statement statement(source, "PRAGMA data_version");
  statement.step();
  return {statement.int64(0), sqlite3_total_changes64(source)};
}

std::optional<SourceRecord> RowLookup::find(const RecordKey& key) {
  if (in_batch_ && source_ != nullptr) {
    if (pin_ && pinned_.elapsed_ms() >= kMostMsPinned) pin_.reset();
    if (!pin_) {
      pin_.emplace(source_, "SELECT 1 FROM sqlite_schema");
      pin_->step();
      pinned_ = Stopwatch();
    }
  }
  const Stopwatch watch;
  auto found = finder_.find(key);
  find_ms_ += watch.elapsed_ms();
  ++num_finds_;
  return found;
}

bool RowLookup::must_look_again() {
  if (num_finds_ < kFindsToJudge || find_ms_ / static_cast<double>(num_finds_) < kSlowFindMs)
    return true;
  source_changed_ = source_changed_ || source_ == nullptr || SourceVersion::of(source_) != version_;
  return source_changed_;  // stays so: the cursor reads ahead
}

std::string source_state_of(const std::filesystem::path& database) {
  if (database.empty()) return {};
  std::string state;
  for (const char* suffix : {"", "-wal"}) {
    std::filesystem::path file = database;
    file += suffix;
    const auto stamp = stamp_of(file);
    if (stamp && stamp->size_bytes > 0) {
      state += std::to_string(stamp->size_bytes) + "," + std::to_string(stamp->modified_ns) + "," +
               std::to_string(stamp->inode) + ";";
    } else {
      state += "none;";
    }
  }
  return state;
}

}  // namespace nearlite
