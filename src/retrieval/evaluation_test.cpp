#include "nearlite/retrieval/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "nearlite/base/error.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

TEST(RankingQuality, IsWhatTrecEvalComputes) {
  const Judgements judged = {{"a", 2}, {"b", 1}, {"c", 1}, {"x", 0}};
  const std::vector<std::string> ranking = {"x", "b", "n", "a"};
  const RankingQuality quality = quality_of(ranking, judged);
  // Gained: 1 at rank 2, 2 at rank 4; ideal: 2, 1, 1 at ranks 1, 2, 3.
  const double gained = 1 / std::log2(3) + 2 / std::log2(5);
  const double ideal = 2 + 1 / std::log2(3) + 1 / std::log2(4);
  EXPECT_NEAR(quality.ndcg_10, gained / ideal, 1e-12);
  EXPECT_NEAR(quality.recall_100, 2.0 / 3, 1e-12);
  EXPECT_NEAR(quality.mrr_10, 0.5, 1e-12);
}

TEST(RankingQuality, CountsTenForGainAndAHundredForRecall) {
  std::vector<std::string> ranking(120, "n");
  ranking[10] = "a";
  ranking[99] = "b";
  ranking[100] = "c";
  const RankingQuality quality = quality_of(ranking, {{"a", 1}, {"b", 1}, {"c", 1}});
  EXPECT_EQ(quality.ndcg_10, 0);
  EXPECT_EQ(quality.mrr_10, 0);
  EXPECT_NEAR(quality.recall_100, 2.0 / 3, 1e-12);
  EXPECT_EQ(quality_of(ranking, {{"a", 0}}).recall_100, 0);
}

TEST(PairedDifference, TellsAClearOneFromNone) {
  std::vector<double> a(40, 0.6);
  std::vector<double> b(40, 0.5);
  const PairedDifference clear = paired_difference(a, b);
  EXPECT_NEAR(clear.mean, 0.1, 1e-12);
  EXPECT_GT(clear.low, 0.09);
  EXPECT_LT(clear.p_value, 0.001);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = i % 2 == 0 ? 0.5 : 0.7;
  const PairedDifference none = paired_difference(a, b);
  EXPECT_NEAR(none.mean, 0, 1e-12);
  EXPECT_GT(none.p_value, 0.9);
  EXPECT_LT(none.low, 0);
  EXPECT_GT(none.high, 0);
  EXPECT_THROW(paired_difference(a, std::vector<double>{1}), InvalidArgument);
}

TEST(EvaluationFiles, AreReadAndRefusedByLine) {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(folder.path() / name) << text;
    return folder.path() / name;
  };
  const auto queries = read_queries(write("q.tsv", "1\tdisk full\r\n\n2\tlamp\toff\n"));
  ASSERT_EQ(queries.size(), 2U);
  EXPECT_EQ(queries[0].second, "disk full");
  EXPECT_EQ(queries[1].second, "lamp\toff");
  const auto qrels = read_qrels(write("q.trec", "1 0 7 2\n\n1 0 8 0\n2 0 9 1\n"));
  EXPECT_EQ(qrels.at("1").at("7"), 2);
  EXPECT_EQ(qrels.at("2").size(), 1U);
  try {
    read_qrels(write("bad.trec", "1 0 7 2\n1 7\n"));
    FAIL() << "a line that is no judgement was read";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("bad.trec:2"), std::string::npos);
  }
  EXPECT_THROW(read_queries(write("bad.tsv", "no tab\n")), InvalidArgument);
  EXPECT_THROW(read_queries(folder.path() / "none"), NotFound);
  const GoldenQuestions golden =
      read_golden(write("golden.tsv", "# ours\ndisk full\t3\ttelemetry:7\r\n\nlamp\t[1,\"a\"]\n"));
  ASSERT_EQ(golden.queries.size(), 2U);
  EXPECT_EQ(golden.queries[0], std::pair(std::string("2"), std::string("disk full")));
  EXPECT_EQ(golden.qrels.at("2"), (Judgements{{"3", 1}, {"telemetry:7", 1}}));
  EXPECT_EQ(golden.qrels.at("4"), (Judgements{{"[1,\"a\"]", 1}}));
  EXPECT_THROW(read_golden(write("bad_golden.tsv", "no row\n")), InvalidArgument);
}

}  // namespace
}  // namespace nearlite
