#include "nearlite/store/metrics_db.h"

#include <optional>

#include "nearlite/base/clock.h"

namespace nearlite {
namespace {

constexpr char kTables[] = R"(
CREATE TABLE IF NOT EXISTS embedding_stats(
  db_name TEXT, tokens INTEGER, wall_ms REAL, store_ms REAL, patch_id TEXT, db_source TEXT,
  ts TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS vector_metrics(
  event_type TEXT, db TEXT, tokens INTEGER, wall_time_ms REAL, store_time_ms REAL, hit INTEGER, rank INTEGER,
  contribution REAL, prompt_tokens INTEGER, patch_id TEXT, session_id TEXT, vector_id TEXT, similarity REAL,
  context_score REAL, age REAL, win INTEGER, regret INTEGER, ts TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX IF NOT EXISTS idx_vector_metrics_event_db_ts ON vector_metrics(event_type, db, ts);
CREATE VIEW IF NOT EXISTS embedding_metrics AS SELECT rowid AS id, vector_id AS record_id, tokens,
  wall_time_ms / 1000 AS wall_time, store_time_ms / 1000 AS index_latency, db AS source, ts
  FROM vector_metrics WHERE event_type = 'embedding';
CREATE TABLE IF NOT EXISTS embedding_staleness(
  id INTEGER PRIMARY KEY, origin_db TEXT, record_id TEXT, stale_seconds REAL, ts TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS backfill_run(
  id INTEGER PRIMARY KEY, store TEXT NOT NULL, db_name TEXT NOT NULL, session_id TEXT NOT NULL,
  started_at TEXT NOT NULL, ended_at TEXT NOT NULL, embedded INTEGER NOT NULL, skipped INTEGER NOT NULL,
  removed INTEGER NOT NULL, unchanged INTEGER NOT NULL, blocked INTEGER NOT NULL, tokens INTEGER NOT NULL,
  truncated INTEGER NOT NULL, passages INTEGER NOT NULL, wall_ms REAL NOT NULL, store_ms REAL NOT NULL);
CREATE TABLE IF NOT EXISTS backfill_skip(
  run INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(run, reason)) WITHOUT ROWID;
)";

bool has_column(const Connection& db, const std::string& table, const std::string& column) {
  Statement row = db.prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2");
  row.bind(1, std::string_view(table)).bind(2, std::string_view(column));
  return row.step();
}

/// Makes what is missing. encode_ms came later than its table.
void make_tables(Connection& db) {
  Transaction transaction(db);
  db.execute(kTables);
  if (!has_column(db, "backfill_run", "encode_ms"))
    db.execute("ALTER TABLE backfill_run ADD COLUMN encode_ms REAL NOT NULL DEFAULT 0");
  transaction.commit();
}

}  // namespace

MetricsDb MetricsDb::open(const std::filesystem::path& file) {
  Connection db = Connection::open(file, true);
  make_tables(db);
  return MetricsDb(std::move(db));
}

MetricsDb MetricsDb::open_existing(const std::filesystem::path& file) {
  return MetricsDb(Connection::open(file, false));
}

void MetricsDb::log_embeddings(std::span<const EmbeddingStat> stats) {
  Transaction transaction(connection_);
  insert(stats);
  transaction.commit();
}

void MetricsDb::insert(std::span<const EmbeddingStat> stats) {
  const std::string now = rfc3339(system_clock().now());
  Statement stat_row = connection_.prepare(
      "INSERT INTO embedding_stats(db_name, tokens, wall_ms, store_ms, patch_id, db_source, ts) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
  Statement vector_row = connection_.prepare(
      "INSERT INTO vector_metrics(event_type, db, tokens, wall_time_ms, store_time_ms, patch_id, "
      "session_id, vector_id, ts) VALUES ('embedding', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
  for (const EmbeddingStat& stat : stats) {
    const std::string_view ts = stat.ts.empty() ? now : stat.ts;
    const std::string_view name = stat.db_name;
    stat_row.run(name, stat.tokens, stat.wall_ms, stat.store_ms, std::string_view(stat.patch_id),
                 std::string_view(stat.db_source), ts);
    vector_row.run(name, stat.tokens, stat.wall_ms, stat.store_ms, std::string_view(stat.patch_id),
                   std::string_view(stat.session_id), std::string_view(stat.vector_id), ts);
  }
}

void MetricsDb::log_staleness(std::span<const StalenessStat> stats) {
  const std::string now = rfc3339(system_clock().now());
  Transaction transaction(connection_);
  Statement row = connection_.prepare(
      "INSERT INTO embedding_staleness(origin_db, record_id, stale_seconds, ts) "
      "VALUES (?1, ?2, ?3, ?4)");
  for (const StalenessStat& stat : stats) {
    row.run(std::string_view(stat.origin_db), std::string_view(stat.record_id), stat.stale_seconds,
            std::string_view(now));
  }
  transaction.commit();
}

void MetricsDb::forget(const std::string& db_name, const std::string& store,
                       std::span<const std::string> record_ids) {
  connection_.execute("PRAGMA secure_delete = ON");
  Transaction transaction(connection_);
  Statement costs =
      connection_.prepare("DELETE FROM vector_metrics WHERE db = ?1 AND vector_id = ?2");
  Statement ages = connection_.prepare(
      "DELETE FROM embedding_staleness WHERE origin_db = ?1 AND record_id = ?2");
  for (const std::string& id : record_ids) {
    costs.run(std::string_view(db_name), std::string_view(id));
    ages.run(std::string_view(store), std::string_view(id));
  }
  transaction.commit();
}

void MetricsDb::log_run(const BackfillRun& run, std::span<const EmbeddingStat> records) {
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
  insert(records);
  transaction.commit();
}

std::vector<BackfillRun> MetricsDb::runs(const std::string& store, const std::string& since) {
  if (!has_column(connection_, "backfill_run", "id")) return {};  // a file of the original
  const std::string encode_ms =
      has_column(connection_, "backfill_run", "encode_ms") ? "encode_ms" : "0";
  Statement row = connection_.prepare(
      "SELECT store, db_name, session_id, started_at, embedded, skipped, removed, unchanged, "
      "blocked, tokens, truncated, passages, wall_ms, store_ms, " +
      encode_ms +
      ", id FROM backfill_run WHERE (?1 = '' OR store = ?1) "
      "AND started_at >= ?2 ORDER BY id");
  row.bind(1, std::string_view(store)).bind(2, std::string_view(since));
  std::optional<Statement> reason;
  if (has_column(connection_, "backfill_skip", "run")) {
    reason.emplace(
        connection_.prepare("SELECT reason, count FROM backfill_skip WHERE run = ?1 ORDER BY 1"));
  }
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
    if (!reason) continue;
    reason->bind(1, row.int64(15));
    while (reason->step()) run.skipped_by_reason.emplace(reason->text(0), reason->int64(1));
    reason->reset();
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
    EmbeddingStat& stat = stats.emplace_back();
    stat.db_name = row.text(0);
    stat.tokens = row.int64(1);
    stat.wall_ms = row.real(2);
    stat.store_ms = row.real(3);
    stat.patch_id = row.text(4);
    stat.db_source = row.text(5);
    stat.ts = row.text(6);
  }
  return stats;
}

}  // namespace nearlite
