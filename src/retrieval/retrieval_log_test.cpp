// What is recorded of hits, and what is learned from it (reference 5.2, 5.3, 6.7, 6.9).
#include "nearlite/retrieval/retrieval_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class RetrievalLogs : public testing::Test {
 protected:
  static RetrieverResult result_of(const std::string& session,
                                   const std::vector<std::string>& origins) {
    RetrieverResult result;
    result.session_id = session;
    result.candidates = 2 * origins.size();
    result.took_ms = 8;
    for (const std::string& origin : origins) {
      RetrievalOutcome hit;
      hit.origin_db = origin;
      hit.record_id = hit.vector_id = std::to_string(result.metrics.size() + 1);
      hit.rank = result.metrics.size() + 1;
      hit.session_id = session;
      hit.similarity = 0.5;
      hit.tokens = 12;
      result.metrics.push_back(hit);
      result.results.emplace_back();
      result.store_ms[origin] = 4;
    }
    return result;
  }
  std::vector<std::string> column(const std::string& sql) {
    Connection db = Connection::open(folder_ / "metrics.db", false);
    std::vector<std::string> values;
    Statement rows = db.prepare(sql);
    while (rows.step()) values.emplace_back(rows.text(0));
    return values;
  }

  const TemporaryFolder folder_{FolderPlace::kMemory};
};

TEST_F(RetrievalLogs, HoldOneRowPerHitInEachTableAndOneLine) {
  const auto lines_file = folder_ / "analytics" / "retrieval_outcomes.jsonl";
  RetrievalLog log(folder_ / "metrics.db", lines_file);
  log.record(result_of("s1", {"bot", "error"}));
  log.record(result_of("s2", {"bot"}));
  EXPECT_THAT(column("SELECT origin_db || rank FROM retrieval_metrics ORDER BY id"),
              ElementsAre("bot1", "error2", "bot1"));
  EXPECT_THAT(
      column(
          "SELECT session_id || vector_id || tokens_injected FROM retrieval_stats ORDER BY rowid"),
      ElementsAre("s1112", "s1212", "s2112"));
  EXPECT_THAT(column("SELECT db FROM vector_metrics WHERE event_type = 'retrieval' ORDER BY rowid"),
              ElementsAre("bot", "error", "bot"));
  EXPECT_THAT(column("SELECT metric || ' ' || value FROM eval_metrics WHERE cycle = 's1'"),
              UnorderedElementsAre("retrieval_hit_rate 0.5", "retrieval_query_time 0.008",
                                   "retrieval_db_response_time.bot 0.004",
                                   "retrieval_db_response_time.error 0.004"));
  std::ifstream in(lines_file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines[2], HasSubstr(R"("session_id":"s2")"));
}

TEST_F(RetrievalLogs, TakeContributionsAndOutcomesOfHits) {
  RetrievalLog log(folder_ / "metrics.db");
  log.record(result_of("s1", {"bot", "bot", "bot", "bot", "error"}));
  EXPECT_TRUE(log.mark_retrieval_contribution("s1", "2", 0.75));
  EXPECT_FALSE(log.mark_retrieval_contribution("s1", "9", 1));
  EXPECT_THAT(column("SELECT contribution FROM retrieval_stats WHERE vector_id = '2'"),
              ElementsAre("0.75"));
  EXPECT_TRUE(log.mark_outcome("s1", "1", true, false));
  EXPECT_TRUE(log.mark_outcome("s1", "2", true, false));
  EXPECT_TRUE(log.mark_outcome("s1", "3", false, true));
  EXPECT_TRUE(log.mark_outcome("s1", "4", false, false));
  EXPECT_FALSE(log.mark_outcome("s0", "1", true, false));
  const auto reliability = log.reliability();  // of four: two won, one did harm
  ASSERT_THAT(reliability, SizeIs(1));
  EXPECT_EQ(reliability.at("bot").win_rate, 0.5);
  EXPECT_EQ(reliability.at("bot").regret_rate, 0.25);
  EXPECT_EQ(reliability.at("bot").score(), 0.25);
  EXPECT_EQ(reliability.at("bot").sample_count, 4U);
}

TEST_F(RetrievalLogs, FallBackToTheCountsOfAnOriginWithoutRows) {
  RetrievalLog log(folder_ / "metrics.db");
  Connection db = Connection::open(folder_ / "metrics.db", false);
  db.execute("INSERT INTO retriever_stats VALUES ('workflow', 3, 1), ('bot', 0, 0)");
  const auto reliability = log.reliability();
  ASSERT_THAT(reliability, SizeIs(1));
  EXPECT_EQ(reliability.at("workflow").win_rate, 0.75);
  EXPECT_EQ(reliability.at("workflow").regret_rate, 0.25);
  EXPECT_EQ(reliability.at("workflow").sample_count, 4U);
}

TEST_F(RetrievalLogs, LeaveOtherTablesOfTheFileAlone) {
  Connection db = Connection::open(folder_ / "metrics.db", true);
  db.execute("CREATE TABLE embedding_stats(x); INSERT INTO embedding_stats VALUES (1)");
  RetrievalLog log(folder_ / "metrics.db");
  log.record(result_of("s1", {"bot"}));
  EXPECT_THAT(column("SELECT x FROM embedding_stats"), ElementsAre("1"));
}

}  // namespace
}  // namespace nearlite
