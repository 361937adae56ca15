#include "nearlite/store/metrics_db.h"

#include "nearlite/base/clock.h"

namespace nearlite {
namespace {

constexpr char kTables[] = R"(
CREATE TABLE IF NOT EXISTS embedding_stats(
  db_name TEXT, tokens INTEGER, wall_ms REAL, store_ms REAL, patch_id TEXT, db_source TEXT,
  ts TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS backfill_run(
  id INTEGER PRIMARY KEY, store TEXT NOT NULL, db_name TEXT NOT NULL, session_id TEXT NOT NULL,
  started_at TEXT NOT NULL, ended_at TEXT NOT NULL, embedded INTEGER NOT NULL, skipped INTEGER NOT NULL,
  removed INTEGER NOT NULL, unchanged INTEGER NOT NULL, blocked INTEGER NOT NULL, tokens INTEGER NOT NULL,
  truncated INTEGER NOT NULL, passages INTEGER NOT NULL, wall_ms REAL NOT NULL, store_ms REAL NOT NULL);
)";

}  // namespace

MetricsDb MetricsDb::open(const std::filesystem::path& file) {
  Connection db = Connection::open(file, true);
  db.execute(kTables);
  return MetricsDb(std::move(db));
}

MetricsDb MetricsDb::open_existing(const std::filesystem::path& file) {
  Connection db = Connection::open(file, false);
  db.execute(kTables);  // a file of the original has only the first one
  return MetricsDb(std::move(db));
}

void MetricsDb::log(const EmbeddingStat& stat) {
  const std::string now = stat.ts.empty() ? rfc3339(system_clock().now()) : stat.ts;
  connection_
      .prepare(
          "INSERT INTO embedding_stats(db_name, tokens, wall_ms, store_ms, patch_id, db_source, "
          "ts) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      .run(std::string_view(stat.db_name), stat.tokens, stat.wall_ms, stat.store_ms,
           std::string_view(stat.patch_id), std::string_view(stat.db_source),
           std::string_view(now));
}

void MetricsDb::log_run(const BackfillRun& run) {
  const std::string now = rfc3339(system_clock().now());
  Transaction transaction(connection_);
  connection_
      .prepare(
          "INSERT INTO backfill_run(store, db_name, session_id, started_at, ended_at, embedded, "
          "skipped, removed, "
          "unchanged, blocked, tokens, truncated, passages, wall_ms, store_ms) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)")
      .run(std::string_view(run.store), std::string_view(run.db_name),
           std::string_view(run.session_id), std::string_view(run.started_at),
           std::string_view(now), run.embedded, run.skipped, run.removed, run.unchanged,
           run.blocked, run.tokens, run.truncated, run.passages, run.wall_ms, run.store_ms);
  log({run.db_name, run.tokens, run.wall_ms, run.store_ms, run.session_id, run.store, now});
  transaction.commit();
}

std::vector<BackfillRun> MetricsDb::runs(const std::string& store, const std::string& since) {
  Statement row = connection_.prepare(
      "SELECT store, db_name, session_id, started_at, embedded, skipped, removed, unchanged, "
      "blocked, tokens, truncated, "
      "passages, wall_ms, store_ms FROM backfill_run WHERE (?1 = '' OR store = ?1) AND started_at "
      ">= ?2 ORDER BY id");
  row.bind(1, std::string_view(store)).bind(2, std::string_view(since));
  std::vector<BackfillRun> runs;
  while (row.step()) {
    runs.push_back({std::string(row.text(0)), std::string(row.text(1)), std::string(row.text(2)),
                    std::string(row.text(3)), row.int64(4), row.int64(5), row.int64(6),
                    row.int64(7), row.int64(8), row.int64(9), row.int64(10), row.int64(11),
                    row.real(12), row.real(13)});
  }
  return runs;
}

std::vector<EmbeddingStat> MetricsDb::stats(const std::string& db_name, const std::string& since) {
  Statement row = connection_.prepare(
      "SELECT db_name, tokens, wall_ms, store_ms, patch_id, db_source, ts FROM embedding_stats "
      "WHERE (?1 = '' OR db_name = ?1) AND ts >= ?2 ORDER BY rowid");
  row.bind(1, std::string_view(db_name)).bind(2, std::string_view(since));
  std::vector<EmbeddingStat> stats;
  while (row.step()) {
    stats.push_back({std::string(row.text(0)), row.int64(1), row.real(2), row.real(3),
                     std::string(row.text(4)), std::string(row.text(5)), std::string(row.text(6))});
  }
  return stats;
}

}  // namespace nearlite
