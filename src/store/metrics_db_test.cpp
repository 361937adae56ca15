#include "nearlite/store/metrics_db.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "nearlite/base/error.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

TEST(MetricsDb, RemembersRunsAndTheOriginalsRows) {
  const TemporaryFolder folder;
  const auto file = folder / "metrics.db";
  EXPECT_THROW(MetricsDb::open_existing(file), NotFound);
  {
    MetricsDb metrics = MetricsDb::open(file);
    const std::vector<EmbeddingStat> rows{
        {.db_name = "BotDB", .vector_id = "8", .ts = "2026-01-01T00:00:00.000Z"},  // skipped
        {.db_name = "BotDB",
         .vector_id = "9",
         .tokens = 512,
         .wall_ms = 20,
         .store_ms = 1.9,
         .session_id = "s1"}};
    metrics.log_embeddings(rows);
    metrics.log_run({.store = "bot",
                     .db_name = "BotDB",
                     .session_id = "s1",
                     .started_at = "2026-02-01T00:00:00.000Z",
                     .embedded = 10,
                     .skipped = 1,
                     .tokens = 512,
                     .wall_ms = 21.4,
                     .store_ms = 1.9});
  }
  MetricsDb metrics = MetricsDb::open_existing(file);
  const auto runs = metrics.runs("bot");
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].embedded, 10);
  EXPECT_EQ(runs[0].skipped, 1);
  EXPECT_EQ(runs[0].session_id, "s1");
  EXPECT_EQ(runs[0].store_ms, 1.9);
  EXPECT_TRUE(metrics.runs("workflow").empty());
  EXPECT_TRUE(metrics.runs("", "2026-03-01").empty());
  const auto stats = metrics.stats("BotDB");
  ASSERT_EQ(stats.size(), 2U);
  EXPECT_EQ(stats[0].tokens, 0);
  EXPECT_EQ(stats[1].tokens, 512);
  EXPECT_EQ(metrics.stats("BotDB", "2026-02-01").size(), 1U);
  Connection db = Connection::open(file, false);
  Statement row = db.prepare(
      "SELECT db, tokens, wall_time_ms, store_time_ms, session_id, vector_id FROM vector_metrics "
      "WHERE event_type = 'embedding' ORDER BY rowid DESC");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.text(0), "BotDB");
  EXPECT_EQ(row.int64(1), 512);
  EXPECT_EQ(row.real(2), 20);
  EXPECT_EQ(row.real(3), 1.9);
  EXPECT_EQ(row.text(4), "s1");
  EXPECT_EQ(row.text(5), "9");
  Statement metric = db.prepare(
      "SELECT record_id, tokens, wall_time, index_latency, source FROM embedding_metrics");
  ASSERT_TRUE(metric.step());
  ASSERT_TRUE(metric.step());
  EXPECT_EQ(metric.text(0), "9");
  EXPECT_EQ(metric.real(2), 0.02);
}

TEST(MetricsDb, KeepsHowOldAnsweringVectorsWere) {
  const TemporaryFolder folder;
  const auto file = folder / "metrics.db";
  const std::vector<StalenessStat> ages{{"bot", "7", 3600.5}, {"bot", "8", 0}};
  MetricsDb::open(file).log_staleness(ages);
  Connection db = Connection::open(file, false);
  Statement row = db.prepare(
      "SELECT count(*), sum(stale_seconds), min(record_id), min(ts) > '2026' FROM "
      "embedding_staleness WHERE origin_db = 'bot'");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.int64(0), 2);
  EXPECT_EQ(row.real(1), 3600.5);
  EXPECT_EQ(row.text(2), "7");
  EXPECT_EQ(row.int64(3), 1);
}

TEST(MetricsDb, ForgetsTheKeysOfErasedRecordsToTheLastByte) {
  const TemporaryFolder folder;
  const auto file = folder / "metrics.db";
  {
    MetricsDb metrics = MetricsDb::open(file);
    const std::vector<EmbeddingStat> rows{{.db_name = "people", .vector_id = "bob@mail.test"},
                                          {.db_name = "people", .vector_id = "amy@mail.test"},
                                          {.db_name = "other", .vector_id = "bob@mail.test"}};
    metrics.log_embeddings(rows);
    const std::vector<StalenessStat> ages{{"people", "bob@mail.test", 1}};
    metrics.log_staleness(ages);
    const std::vector<std::string> keys{"bob@mail.test"};
    metrics.forget("people", "people", keys);
    metrics.forget("other", "other", keys);
    EXPECT_EQ(metrics.stats("people").size(), 2U);  // what it has cost stays
  }
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  EXPECT_EQ(bytes.find("bob@mail"), std::string::npos);
  EXPECT_NE(bytes.find("amy@mail"), std::string::npos);
}

TEST(MetricsDb, AFileOfTheOriginalIsReadAndThenWrittenAsItIs) {
  const TemporaryFolder folder;
  const auto file = folder / "metrics.db";
  Connection::open(file, true)
      .execute(
          "CREATE TABLE embedding_stats(db_name TEXT, tokens INTEGER, wall_ms REAL, store_ms REAL, "
          "patch_id TEXT, db_source TEXT, ts TEXT DEFAULT CURRENT_TIMESTAMP);"
          "CREATE TABLE embedding_metrics(id INTEGER PRIMARY KEY, record_id TEXT, tokens INTEGER, "
          "wall_time REAL, index_latency REAL, source TEXT, ts TEXT);"
          "INSERT INTO embedding_stats(db_name, tokens) VALUES ('BotDB', 7)");
  MetricsDb reading = MetricsDb::open_existing(file);
  EXPECT_TRUE(reading.runs().empty());
  EXPECT_EQ(reading.stats().at(0).tokens, 7);
  Connection db = Connection::open(file, false);
  Statement tables = db.prepare("SELECT count(*) FROM sqlite_schema");
  ASSERT_TRUE(tables.step());
  EXPECT_EQ(tables.int64(0), 2) << "reading has written";
  tables.reset();
  MetricsDb::open(file).log_run({.store = "bot", .started_at = "2026-02-01T00:00:00.000Z"});
  EXPECT_EQ(MetricsDb::open_existing(file).runs().size(), 1U);
}

TEST(MetricsDb, SaysWhyRecordsWereSkipped) {
  const TemporaryFolder folder;
  MetricsDb metrics = MetricsDb::open(folder / "metrics.db");
  BackfillRun run;
  run.store = "bot";
  run.db_name = "BotDB";
  run.started_at = "2026-02-01T00:00:00.000Z";
  run.embedded = 5;
  run.skipped = 2;
  run.blocked = 1;
  run.tokens = 50;
  run.wall_ms = 20;
  run.encode_ms = 12.5;
  run.skipped_by_reason = {{"no text", 2}, {"blocked: eval-use", 1}};
  metrics.log_run(run);
  metrics.log_run(run);
  const auto runs = metrics.runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].encode_ms, 12.5);
  EXPECT_EQ(runs[0].skipped_by_reason, run.skipped_by_reason);
}

TEST(MetricsDb, AnOlderFileGetsWhatItLacks) {
  const TemporaryFolder folder;
  const auto file = folder / "metrics.db";
  {
    MetricsDb::open(file).log_run({.store = "bot", .started_at = "2026-02-01T00:00:00.000Z"});
    Connection db = Connection::open(file, false);
    db.execute("ALTER TABLE backfill_run DROP COLUMN encode_ms; DROP TABLE backfill_skip");
  }
  EXPECT_EQ(MetricsDb::open_existing(file).runs().size(), 1U);
}

}  // namespace
}  // namespace nearlite
