#include "nearlite/store/metrics_db.h"

#include <gtest/gtest.h>

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
    metrics.log({.db_name = "BotDB", .ts = "2026-01-01T00:00:00.000Z"});  // a skipped record
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
  EXPECT_EQ(stats[1].patch_id, "s1");
}

TEST(MetricsDb, SaysWhyRecordsWereSkippedAndKeepsARowOfZerosForEach) {
  const TemporaryFolder folder;
  MetricsDb metrics = MetricsDb::open(folder / "metrics.db");
  BackfillRun run;
  run.store = "bot";
  run.db_name = "BotDB";
  run.started_at = "2026-02-01T00:00:00.000Z";
  run.embedded = 5;
  run.skipped = 2;
  run.blocked = 1;
  run.refused = 3;
  run.tokens = 50;
  run.wall_ms = 20;
  run.encode_ms = 12.5;
  run.skipped_by_reason = {{"no text", 2}, {"blocked: eval-use", 1}};
  metrics.log_run(run);
  run.refused = 0;
  metrics.log_run(run);
  const auto runs = metrics.runs();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].encode_ms, 12.5);
  EXPECT_EQ(runs[0].skipped_by_reason, run.skipped_by_reason);
  std::size_t zeros = 0;
  for (const EmbeddingStat& stat : metrics.stats("BotDB"))
    zeros += stat.tokens == 0 && stat.wall_ms == 0 && stat.store_ms == 0 ? 1 : 0;
  EXPECT_EQ(zeros, 3U);
  const std::vector<EmbeddingStat> single = {{.db_name = "BotDB", .tokens = 7},
                                             {.db_name = "BotDB"}};
  metrics.log_all(single);
  EXPECT_EQ(metrics.stats("BotDB").size(), 7U);
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
