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
CREATE TABLE IF NOT EXISTS backfill_skip(
  run INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(run, reason)) WITHOUT ROWID;
)";

/// Makes what is missing. encode_ms came later than its table.
void make_tables(Connection& db) {
  db.execute(kTables);
  Statement column =
      db.prepare("SELECT 1 FROM pragma_table_info('backfill_run') WHERE name = 'encode_ms'");
  const bool known = column.step();
  column.reset();
  if (!known) db.execute("ALTER TABLE backfill_run ADD COLUMN encode_ms REAL NOT NULL DEFAULT 0");
}

}  // namespace

MetricsDb MetricsDb::open(const std::filesystem::path& file) {
  Connection db = Connection::open(file, true);
  make_tables(db);
  return MetricsDb(std::move(db));
}

MetricsDb MetricsDb::open_existing(const std::filesystem::path& file) {
  Connection db = Connection::open(file, false);
  make_tables(db);  // a file of the original has only the first one
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

void MetricsDb::log_all(std::span<const EmbeddingStat> stats) {
  Transaction transaction(connection_);
  for (const EmbeddingStat& stat : stats) log(stat);
  transaction.commit();
}

void MetricsDb::log_run(const BackfillRun& run) {
  const std::string now = rfc3339(system_clock().now());
  Transaction transaction(connection_);
  connection_
      .prepare(
          "INSERT INTO backfill_run(store, db_name, session_id, started_at, ended_at, embedded, "
          "skipped, removed, "
          "unchanged, blocked, tokens, truncated, passages, wall_ms, store_ms, encode_ms) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)")
      .run(std::string_view(run.store), std::string_view(run.db_name),
           std::string_view(run.session_id), std::string_view(run.started_at),
           std::string_view(now), run.embedded, run.skipped, run.removed, run.unchanged,
           run.blocked, run.tokens, run.truncated, run.passages, run.wall_ms, run.store_ms,
           run.encode_ms);
  const std::int64_t id = connection_.last_insert_rowid();
  Statement skip =
      connection_.prepare("INSERT INTO backfill_skip(run, reason, count) VALUES (?1, ?2, ?3)");
  for (const auto& [reason, count] : run.skipped_by_reason)
    skip.run(id, std::string_view(reason), count);
  log({run.db_name, run.tokens, run.wall_ms, run.store_ms, run.session_id, run.store, now});
  Statement zeros = connection_.prepare(
      "INSERT INTO embedding_stats(db_name, tokens, wall_ms, store_ms, patch_id, db_source, ts) "
      "VALUES (?1, 0, 0, 0, ?2, ?3, ?4)");
  for (std::int64_t i = 0; i < run.refused; ++i) {
    zeros.run(std::string_view(run.db_name), std::string_view(run.session_id),
              std::string_view(run.store), std::string_view(now));
  }
  transaction.commit();
}

std::vector<BackfillRun> MetricsDb::runs(const std::string& store, const std::string& since) {
  Statement row = connection_.prepare(
      "SELECT store, db_name, session_id, started_at, embedded, skipped, removed, unchanged, "
      "blocked, tokens, truncated, "
      "passages, wall_ms, store_ms, encode_ms, id FROM backfill_run WHERE (?1 = '' OR store = ?1) "
      "AND started_at >= ?2 ORDER BY id");
  row.bind(1, std::string_view(store)).bind(2, std::string_view(since));
  Statement reason =
      connection_.prepare("SELECT reason, count FROM backfill_skip WHERE run = ?1 ORDER BY reason");
  std::vector<BackfillRun> runs;
  while (row.step()) {
    BackfillRun& run = runs.emplace_back();
    run.store = row.text(0);
    run.db_name = row.text(1);
    run.session_id = row.text(2);
    run.started_at = row.text(3);
    run.embedded = row.int64(4);
    run.skipped = row.int64(5);
    run.removed = row.int64(6);
    run.unchanged = row.int64(7);
    run.blocked = row.int64(8);
    run.tokens = row.int64(9);
    run.truncated = row.int64(10);
    run.passages = row.int64(11);
    run.wall_ms = row.real(12);
    run.store_ms = row.real(13);
    run.encode_ms = row.real(14);
    reason.bind(1, row.int64(15));
    while (reason.step()) run.skipped_by_reason.emplace(reason.text(0), reason.int64(1));
    reason.reset();
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
