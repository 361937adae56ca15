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

}  // namespace
}  // namespace nearlite
