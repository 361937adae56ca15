#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nearlite/store/connection.h"

namespace nearlite {

/// What embedding one record has cost: a row of `embedding_stats`, and one of `vector_metrics` with
/// its key, the original's tables. tokens = wall_ms = store_ms = 0: a skipped record.
struct EmbeddingStat {
  std::string db_name{};    // "BotDB"
  std::string vector_id{};  // its key
  std::int64_t tokens = 0;
  double wall_ms = 0;
  double store_ms = 0;
  std::string patch_id{};
  std::string db_source{};  // the store
  std::string session_id{};
  std::string ts{};  // RFC 3339 UTC; empty when logging: now
};

/// How old a vector was when it answered: a row of `embedding_staleness`.
struct StalenessStat {
  std::string origin_db{};
  std::string record_id{};
  double stale_seconds = 0;
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
  std::map<std::string, std::int64_t> skipped_by_reason{};
};

/// metrics.db: what embedding has cost (docs/formats/sidecar.md). One thread at a time.
class MetricsDb {
 public:
  /// Makes the file and its tables where they are missing; other tables in it are left alone.
  static MetricsDb open(const std::filesystem::path& file);
  /// Only to be read, as it is: what it lacks is empty. Throws NotFound if there is none.
  static MetricsDb open_existing(const std::filesystem::path& file);

  /// Each call is one transaction.
  void log_embeddings(std::span<const EmbeddingStat> stats);
  void log_staleness(std::span<const StalenessStat> stats);
  void log_run(const BackfillRun& run, std::span<const EmbeddingStat> records = {});
  /// Removes the rows that name these records, with their bytes: they were erased.
  void forget(const std::string& db_name, const std::string& store,
              std::span<const std::string> record_ids);
  /// Oldest first; `since` is RFC 3339 UTC, empty: all; store empty: all.
  std::vector<BackfillRun> runs(const std::string& store = {}, const std::string& since = {});
  /// Rows of embedding_stats.
  std::vector<EmbeddingStat> stats(const std::string& db_name = {}, const std::string& since = {});

 private:
  void insert(std::span<const EmbeddingStat> stats);
  explicit MetricsDb(Connection connection) : connection_(std::move(connection)) {}
  Connection connection_;
};

}  // namespace nearlite
