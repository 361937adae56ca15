#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nearlite/store/connection.h"

namespace nearlite {

/// A row of `embedding_stats`, the original's table. tokens = wall_ms = store_ms = 0: a skipped
/// record.
struct EmbeddingStat {
  std::string db_name{};  // "BotDB"
  std::int64_t tokens = 0;
  double wall_ms = 0;
  double store_ms = 0;
  std::string patch_id{};
  std::string db_source{};
  std::string ts{};  // RFC 3339 UTC; empty when logging: the time given to the call
};

/// One backfill of one store: a row of `backfill_run`.
struct BackfillRun {
  std::string store{};
  std::string db_name{};
  std::string session_id{};
  std::string started_at{};  // RFC 3339 UTC
  std::int64_t embedded = 0;
  std::int64_t skipped = 0;
  std::int64_t removed = 0;
  std::int64_t unchanged = 0;
  std::int64_t blocked = 0;
  std::int64_t tokens = 0;
  std::int64_t truncated = 0;
  std::int64_t passages = 0;
  double wall_ms = 0;
  double store_ms = 0;
  double encode_ms = 0;
  std::int64_t refused = 0;  // skipped or blocked by this run first: as many rows of zeros
  std::map<std::string, std::int64_t> skipped_by_reason{};
};

/// metrics.db: what embedding has cost (docs/formats/sidecar.md). One thread at a time.
class MetricsDb {
 public:
  /// Makes the file and its tables where they are missing; other tables in it are left alone.
  static MetricsDb open(const std::filesystem::path& file);
  /// Throws NotFound if there is none.
  static MetricsDb open_existing(const std::filesystem::path& file);

  void log(const EmbeddingStat& stat);
  void log_all(std::span<const EmbeddingStat> stats);  // in one transaction
  /// One row in backfill_run, one in embedding_stats and a row of zeros there for each record that
  /// this run refused, in one transaction.
  void log_run(const BackfillRun& run);
  /// Oldest first; `since` is RFC 3339 UTC, empty: all; store empty: all.
  std::vector<BackfillRun> runs(const std::string& store = {}, const std::string& since = {});
  std::vector<EmbeddingStat> stats(const std::string& db_name = {}, const std::string& since = {});

 private:
  explicit MetricsDb(Connection connection) : connection_(std::move(connection)) {}
  Connection connection_;
};

}  // namespace nearlite
