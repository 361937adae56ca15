#include "nearlite/retrieval/universal_retriever.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <semaphore>

#include "fake_store.h"
#include "nearlite/base/checksum.h"
#include "nearlite/retrieval/database_router.h"
#include "result_scoring.h"

namespace nearlite {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

/// A store of notes under the name of a seed store, with further tables in its file.
class SeedLikeStore : public NoteStore {
 public:
  using NoteStore::NoteStore;
  RecordCursor iter_records() const override {
    if (hold != nullptr) hold->acquire();
    return NoteStore::iter_records();
  }
  std::binary_semaphore* hold = nullptr;  // a search waits for it
};

class ManualClock : public Clock {
 public:
  std::chrono::system_clock::time_point now() const override { return now_; }
  void advance(std::chrono::seconds by) { now_ += by; }

 private:
  std::chrono::system_clock::time_point now_{};
};

class Retrieving : public testing::Test {
 protected:
  std::shared_ptr<SeedLikeStore> add(const std::string& name,
                                     const std::vector<std::string>& bodies,
                                     const std::string& sql = {}) {
    std::vector<std::pair<std::string, std::string>> notes;
    for (const std::string& body : bodies) notes.emplace_back(body, "author");
    auto store = std::make_shared<SeedLikeStore>(folder_.path(), name, encoder_, notes);
    if (!sql.empty()) store->connection().execute(sql);
    store->backfill_embeddings();
    stores_.push_back(store);
    return store;
  }
  std::unique_ptr<UniversalRetriever> retriever(RetrieverOptions options = {}) {
    options.new_session = [] { return std::string(32, '7'); };
    return std::make_unique<UniversalRetriever>(stores_, std::move(options));
  }
  static std::vector<std::string> ids(const RetrieverResult& result) {
    std::vector<std::string> ids;
    for (const ResultBundle& bundle : result.results)
      ids.push_back(bundle.origin_db + " " + bundle.record_id);
    return ids;
  }

  TemporaryFolder folder_{FolderPlace::kMemory};
  std::shared_ptr<WordEncoder> encoder_ = std::make_shared<WordEncoder>();
  std::vector<std::shared_ptr<Store>> stores_;
};

// docs/universal_retriever.md, "A worked example": every number of it.
TEST_F(Retrieving, TheWorkedExampleOfTheDocument) {
  add("bot", {"upload bot", "lunch bot"},
      "CREATE TABLE bot_workflow(bot_id INTEGER, workflow_id INTEGER);"
      "INSERT INTO bot_workflow VALUES (1, 1), (1, 2), (2, 9)");
  add("error", {"upload failed", "disk full"},
      "CREATE TABLE errors(id INTEGER PRIMARY KEY, frequency INTEGER);"
      "INSERT INTO errors VALUES (1, 2), (2, 8);"
      "CREATE TABLE bot_error(bot_id INTEGER, error_id INTEGER);"
      "INSERT INTO bot_error VALUES (1, 1)");
  const auto reference = retriever({.scoring = Scoring::kReference});
  const RetrieverResult result = reference->retrieve("upload failed", {.top_k = 4});
  EXPECT_THAT(ids(result), ElementsAre("bot 1", "error 2", "error 1", "bot 2"));
  // The words are orthogonal, so cosine("upload failed", "upload bot") = 1/2, and of itself 1.
  // error 1: match 1 / (1 + 0) = 1; frequency 2 of the largest 8; mean (1 + 1/4) / 2 = 0.625.
  // error 2: match 1 / (1 + sqrt(2)) = 0.41421; frequency 1; mean 0.70711.
  // bot 1:   match 1 / (1 + sqrt(2 * 0.5)) = 0.5; deploy 2 of 2; mean 0.75.
  // bot 2:   match 0.41421; deploy 1 of 2; mean 0.45711.
  // bot 1 and error 1 share bot 1: both times 1.1.
  const double far = 1 / (1 + std::sqrt(2.0));
  EXPECT_NEAR(result.results[0].score, 0.75 * 1.1, 1e-3);
  EXPECT_NEAR(result.results[1].score, (far + 1) / 2, 1e-3);
  EXPECT_NEAR(result.results[2].score, 0.625 * 1.1, 1e-3);
  EXPECT_NEAR(result.results[3].score, (far + 0.5) / 2, 1e-3);
  EXPECT_EQ(result.results[0].reason, "widely deployed bot (deploy=2.00) linked via bot->error");
  EXPECT_EQ(result.results[2].reason,
            "high vector similarity (similarity=1.00) linked via bot->error");
  EXPECT_THAT(result.results[0].linked_records, ElementsAre("1"));
}

TEST_F(Retrieving, PartsAddUpToTheScore) {
  add("bot", {"upload bot", "lunch bot"});
  add("error", {"upload failed"},
      "CREATE TABLE errors(id INTEGER PRIMARY KEY, frequency INTEGER);"
      "INSERT INTO errors VALUES (1, 2)");
  for (const ResultBundle& bundle : retriever()->retrieve("upload failed").results) {
    double sum = 0;
    for (const SignalPart& part : bundle.parts) {
      sum += part.contribution;
      EXPECT_NEAR(part.weight * part.value, part.contribution, 1e-9);
    }
    EXPECT_NEAR(sum, bundle.score, 1e-9) << bundle.record_id;
    EXPECT_LE(bundle.score, 1);
    EXPECT_THAT(bundle.reason, HasSubstr("="));
  }
}

TEST_F(Retrieving, AsksEveryStoreAndCutsAtTheEnd) {
  add("bot", {"far away", "far off", "far out"});
  add("workflow", {"upload flow", "upload"});
  EXPECT_THAT(ids(retriever()->retrieve("upload", {.top_k = 2})),
              ElementsAre("workflow 2", "workflow 1"));
  EXPECT_THAT(ids(retriever()->retrieve("upload", {.top_k = 1, .dbs = {"bot"}})), SizeIs(1));
  EXPECT_THROW(retriever()->retrieve("upload", {.dbs = {"nobody"}}), InvalidArgument);
}

TEST_F(Retrieving, NamesAStoreThatIsSlowAndDoesNotWaitForIt) {
  std::binary_semaphore go(0);
  const auto slow = add("bot", {"upload bot"});
  add("error", {"upload failed"});
  slow->hold = &go;
  const auto two = retriever({.deadline = std::chrono::milliseconds(50)});
  RetrieverResult result = two->retrieve("upload");
  for (int i = 0; result.results.empty() && i < 1000; ++i) result = two->retrieve("upload");
  EXPECT_THAT(ids(result), ElementsAre("error 1"));
  const auto failure = std::ranges::find(result.failures, "bot", &StoreFailure::store);
  ASSERT_NE(failure, result.failures.end());
  EXPECT_EQ(failure->type, "Unavailable");
  go.release();
}

TEST_F(Retrieving, ByVectorAndByRecord) {
  add("bot", {"upload bot", "lunch"});
  const auto vector = encoder_->encode(std::vector<std::string_view>{"lunch"}, TextRole::kQuery);
  const auto two = retriever();
  EXPECT_EQ(ids(two->retrieve(std::span<const float>(vector.vectors)))[0], "bot 2");
  EXPECT_EQ(ids(two->retrieve(Record({{"body", std::string("lunch")}})))[0], "bot 2");
  EXPECT_EQ(ids(two->retrieve(Record({{"id", std::int64_t{1}}})))[0], "bot 1");
  EXPECT_THROW(two->retrieve(Record({{"id", std::int64_t{99}}})), InvalidArgument);
}

TEST_F(Retrieving, UnreliableStoresAreLeftOutOrFallenBackFrom) {
  add("bot", {"upload", "upload now"});
  add("error", {"upload failed with many words"});
  RetrieverOptions options;
  options.reliability = {{"bot", {0.1, 0.5, 10}}, {"error", {0.9, 0.1, 10}}};
  options.reliability_threshold = 0.5;
  const RetrieverResult fallen = retriever(options)->retrieve("upload", {.top_k = 2});
  EXPECT_THAT(fallen.fallback_sources, ElementsAre("error"));
  options.fallback_on_low_reliability = false;
  EXPECT_THAT(ids(retriever(options)->retrieve("upload")), ElementsAre("error 1"));
}

TEST_F(Retrieving, TellsItsSinkAndGivesASession) {
  add("bot", {"upload bot"});
  std::size_t told = 0;
  RetrieverOptions options;
  options.sink = [&](const RetrieverResult& result) { told += result.results.size(); };
  const RetrieverResult result = retriever(options)->retrieve("upload");
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(result.session_id, std::string(32, '7'));
  ASSERT_THAT(result.vectors, SizeIs(1));
  EXPECT_EQ(result.vectors[0].vector_id, "1");
  EXPECT_EQ(UniversalRetriever(stores_).retrieve("upload").session_id.size(), 32U);
}

TEST_F(Retrieving, ARouterGivesPlainEntriesAndNeverFails) {
  add("information", {"upload guide"});
  std::vector<std::string> failures;
  RouterOptions options;
  options.on_failure = [&](const std::string& message) { failures.push_back(message); };
  DatabaseRouter router(retriever(), stores_, options);
  const auto hits = router.semantic_search("upload");
  ASSERT_THAT(hits, SizeIs(1));
  EXPECT_EQ(hits[0].origin_db, "info");
  EXPECT_EQ(router.universal_search("upload")[0].origin_db, "information");
  EXPECT_THAT(router.search_fts("guides"), SizeIs(1));
  EXPECT_THAT(router.search_fts("guides", {"bot"}), IsEmpty());
  EXPECT_THAT(router.semantic_search(" "), IsEmpty());
  EXPECT_THAT(failures, ElementsAre("the question is blank"));
}

TEST_F(Retrieving, ARouterLeavesOutUnreliableOriginsAndMayRememberAnswers) {
  add("bot", {"upload bot"});
  const auto errors = add("error", {"upload failed"});
  RetrieverOptions options;
  options.reliability = {{"bot", {.win_rate = 0.2}}, {"error", {.win_rate = 0.9}}};
  ManualClock clock;
  DatabaseRouter router(
      retriever(options), stores_,
      {.min_reliability = 0.5, .cache_seconds = std::chrono::seconds(60), .clock = &clock});
  ASSERT_THAT(router.semantic_search("upload"), SizeIs(1));
  EXPECT_EQ(router.semantic_search("upload")[0].origin_db, "error");
  errors->connection().execute("DELETE FROM note");
  clock.advance(std::chrono::seconds(59));
  EXPECT_THAT(router.semantic_search("upload"), SizeIs(1));
  clock.advance(std::chrono::seconds(1));
  EXPECT_THAT(router.semantic_search("upload"), IsEmpty());
}

// Reference 6.5, later formula, by hand. The words are orthogonal: cosine 1/2 of bot 1, 1 of
// error 1.
TEST_F(Retrieving, TheWeightedFormulaByHand) {
  add("bot", {"upload bot"},
      "CREATE TABLE bot_workflow(bot_id INTEGER, workflow_id INTEGER);"
      "INSERT INTO bot_workflow VALUES (1, 1), (1, 2)");
  add("information", {"upload failed"});
  RetrieverOptions options;
  options.scoring = Scoring::kWeighted;
  options.reliability = {{"bot", {.win_rate = 0.5, .regret_rate = 0.2, .stale = 3}}};
  options.ranker = std::make_shared<const RankingModel>(
      std::vector<std::string>{"db_bot", "vector_similarity"}, std::vector<double>{1, 2}, -1);
  const auto result = retriever(options)->retrieve(
      "upload failed", {.link_multiplier = 1, .roi_bias = {{"bot", 1.2}}});
  EXPECT_THAT(ids(result), ElementsAre("information 1", "bot 1"));
  // information: no context, so all of 0.7 + 0.3 is the match 1; model 1 / (1 + e^-(2 * 1 - 1)).
  EXPECT_NEAR(result.results[0].score, 1 / (1 + std::exp(-1.0)), 1e-3);
  // bot: match 1 / (1 + 1) = 0.5; deploy 2: L = ln 3, context L / (1 + L) = 0.52349.
  // base 0.7 * 0.5 + 0.3 * 0.52349 = 0.50705; times 1.2; times 1 + 0.1 * 0.5 - 0.1 * 0.2 = 1.03;
  // times e^-(0.01 * 3); model 1 / (1 + e^-(1 + 2 * 0.5 - 1)) = 0.73106.
  const double context = std::log(3.0) / (1 + std::log(3.0));
  EXPECT_NEAR(result.results[1].context_score, context, 1e-9);
  EXPECT_NEAR(result.results[1].score,
              (0.35 + 0.3 * context) * 1.2 * 1.03 * std::exp(-0.03) / (1 + std::exp(-1.0)), 1e-3);
  double sum = 0;
  for (const SignalPart& part : result.results[1].parts) sum += part.contribution;
  EXPECT_NEAR(sum, result.results[1].score, 1e-9);
  // adjust_weights: win 0.1 * (1 + 0.5), regret 0.1 * (1 + 0.2).
  const auto adjusted = retriever(options)->retrieve(
      "upload failed", {.link_multiplier = 1, .roi_bias = {{"bot", 1.2}}, .adjust_weights = true});
  EXPECT_NEAR(adjusted.results[1].score / result.results[1].score,
              (1 + 0.15 * 0.5 - 0.12 * 0.2) / 1.03, 1e-9);
  options.enable_reliability_bias = false;
  options.enable_model_ranking = false;
  const auto bare = retriever(options)->retrieve("upload failed", {.link_multiplier = 1});
  EXPECT_NEAR(bare.results[0].score, 1, 1e-3);
  EXPECT_NEAR(bare.results[1].score, 0.35 + 0.3 * context, 1e-3);
}

TEST_F(Retrieving, ContextScoresOfTheReference) {
  const double level = std::log(4.0);
  EXPECT_NEAR(context_of("frequency", 3), level / (1 + level), 1e-12);
  EXPECT_NEAR(context_of("deploy", 3), level / (1 + level), 1e-12);
  EXPECT_NEAR(context_of("usage", 3), level / (5 + level), 1e-12);
  EXPECT_NEAR(context_of("roi", 3), 0.75, 1e-12);
  EXPECT_EQ(context_of("roi", -2), 0);
}

TEST_F(Retrieving, SignalsComeFromTheTablesThatTheReferenceNames) {
  add("workflow", {"upload flow", "upload by hand", "upload never"},
      "CREATE TABLE workflows(id INTEGER PRIMARY KEY, performance_data TEXT);"
      "INSERT INTO workflows VALUES (1, '{\"executions\": 12, \"count\": 5}'), (2, 'no json'),"
      "(3, NULL); CREATE TABLE bot_workflow(bot_id INTEGER, workflow_id INTEGER);"
      "INSERT INTO bot_workflow VALUES (7, 2), (8, 2)");
  add("enhancement", {"upload faster", "upload slower"},
      "CREATE TABLE enhancements(id INTEGER PRIMARY KEY, score REAL, after_code TEXT);"
      "INSERT INTO enhancements VALUES (1, 0.25, 'abc'), (2, 0.5, 'unknown');"
      "CREATE TABLE enhancement_history(id INTEGER PRIMARY KEY, enhanced_hash TEXT,"
      " metric_delta REAL, ts TEXT);"  // SHA-1 of abc
      "INSERT INTO enhancement_history(enhanced_hash, metric_delta, ts) VALUES"
      "('a9993e364706816aba3e25717850c26c9cd0d89d', 3, '2026-01-02'),"
      "('a9993e364706816aba3e25717850c26c9cd0d89d', 9, '2026-01-01')");
  std::map<std::string, double> figures;
  for (const ResultBundle& bundle : retriever()->retrieve("upload").results) {
    for (const char* name : {"usage", "roi"}) {
      if (bundle.signals.contains(name))
        figures[bundle.origin_db + " " + bundle.record_id] = bundle.signals.at(name);
    }
  }
  EXPECT_THAT(figures, UnorderedElementsAre(Pair("workflow 1", 12), Pair("workflow 2", 2),
                                            Pair("workflow 3", 0), Pair("enhancement 1", 3),
                                            Pair("enhancement 2", 0.5)));
}

TEST_F(Retrieving, InformationIsLinkedByItsOwnTablesAndThroughWorkflows) {
  add("bot", {"upload bot"},
      "CREATE TABLE bot_workflow(bot_id INTEGER, workflow_id INTEGER);"
      "INSERT INTO bot_workflow VALUES (1, 5)");
  add("information", {"upload guide", "lunch guide"},
      "CREATE TABLE info_workflows(info_id INTEGER, workflow_id INTEGER);"
      "INSERT INTO info_workflows VALUES (1, 5)");
  const RetrieverResult result =
      retriever({.scoring = Scoring::kReference})->retrieve("upload", {.link_multiplier = 1.5});
  for (const ResultBundle& bundle : result.results) {
    const bool linked = bundle.metadata[1].second != Value(std::string("lunch guide"));
    EXPECT_EQ(bundle.link_path, linked ? "bot->information" : "") << bundle.record_id;
    EXPECT_THAT(bundle.linked_records, SizeIs(linked ? 1 : 0));
  }
}

TEST_F(Retrieving, AGroupWithoutABotIsLinkedByOne) {
  add("workflow", {"upload flow"},
      "CREATE TABLE bot_workflow(bot_id INTEGER, workflow_id INTEGER);"
      "INSERT INTO bot_workflow VALUES (3, 1)");
  add("error", {"upload failed"},
      "CREATE TABLE bot_error(bot_id INTEGER, error_id INTEGER); INSERT INTO bot_error VALUES (3, "
      "1)");
  for (const ResultBundle& bundle : retriever()->retrieve("upload").results)
    EXPECT_EQ(bundle.link_path, "workflow->bot->error");
  RetrieverOptions options;
  options.knowledge_graph = [](const std::string& node) {
    return node == "workflow:1" ? std::vector<std::string>{"error:1"} : std::vector<std::string>{};
  };
  for (const ResultBundle& bundle : retriever(options)->retrieve("upload").results)
    EXPECT_EQ(bundle.link_path, "workflow->error");
  options.knowledge_graph = [](const std::string&) { return std::vector<std::string>{}; };
  for (const ResultBundle& bundle : retriever(options)->retrieve("upload").results)
    EXPECT_EQ(bundle.link_path, "");
}

TEST_F(Retrieving, AMultiplierBoostsOnceAndByTwoAtMost) {
  add("bot", {"upload bot with many further words in its text"});
  add("error", {"upload failed with many further words in its text"},
      "CREATE TABLE bot_error(bot_id INTEGER, error_id INTEGER); INSERT INTO bot_error VALUES (1, "
      "1)");
  const auto scores = [&](double multiplier) {
    RetrieveOptions options;
    options.link_multiplier = multiplier;
    std::vector<double> found;
    for (const auto& one :
         retriever({.scoring = Scoring::kReference})->retrieve("lunch", options).results)
      found.push_back(one.score);
    return found;
  };
  const std::vector<double> plain = scores(1);
  ASSERT_THAT(plain, SizeIs(2));
  EXPECT_NEAR(scores(1.5)[0], 1.5 * plain[0], 1e-9);
  EXPECT_NEAR(scores(5)[0], std::min(1.0, 2 * plain[0]), 1e-9);
  EXPECT_NEAR(scores(0.5)[0], plain[0], 1e-9);
}

TEST_F(Retrieving, WithConfidenceGivesPlainValues) {
  add("bot", {"upload bot under the GNU General Public License version 2", "lunch"});
  const auto two = retriever();
  const ConfidentResult result = two->retrieve_with_confidence("upload bot", {.top_k = 1});
  ASSERT_THAT(result.results, SizeIs(1));
  const ConfidentHit& hit = result.results[0];
  EXPECT_EQ(hit.source, "bot");
  EXPECT_EQ(hit.record_id, "1");
  EXPECT_EQ(hit.item[0].first, "id");
  EXPECT_EQ(hit.score, two->retrieve("upload bot", {.top_k = 1}).results[0].score);
  EXPECT_FALSE(hit.confidence);  // two rows are too few for a calibration: no guess
  const auto by_formula = retriever({.scoring = Scoring::kReference});
  const ConfidentHit formula = by_formula->retrieve_with_confidence("upload bot").results[0];
  EXPECT_EQ(formula.confidence, formula.score);
  EXPECT_THAT(hit.reason, HasSubstr("="));
  EXPECT_EQ(hit.license, "GPL-2.0");
  EXPECT_EQ(hit.license_fingerprint,
            sha256_hex("uploadbotunderthegnugeneralpubliclicenseversion2"));
  EXPECT_EQ(result.session_id, std::string(32, '7'));
  EXPECT_THAT(result.vectors, SizeIs(1));
  const auto vector = encoder_->encode(std::vector<std::string_view>{"lunch"}, TextRole::kQuery);
  EXPECT_EQ(
      two->retrieve_with_confidence(std::span<const float>(vector.vectors)).results[0].record_id,
      "2");
  EXPECT_EQ(two->retrieve_with_confidence(Record({{"id", std::int64_t{2}}})).results[0].record_id,
            "2");
}

TEST_F(Retrieving, HitsCarryWhatGovernanceSaysAndWhatItForbidsIsReplacedByTheNext) {
  const auto store =
      add("bot", {"upload x = eval(data)", "upload password = hunter2secret!", "lunch"});
  RetrieverResult result = retriever()->retrieve("upload", {.top_k = 3});
  ASSERT_THAT(ids(result), SizeIs(3));
  const auto by_id = [&](const std::string& id) {
    return *std::ranges::find(result.results, id, &ResultBundle::record_id);
  };
  ASSERT_THAT(by_id("1").governance.semantic_alerts, SizeIs(1));
  EXPECT_EQ(by_id("1").governance.semantic_alerts[0].rule, "eval-use");
  EXPECT_EQ(by_id("1").governance.alignment_severity, 0.25);  // this store's gate reports it only
  EXPECT_TRUE(by_id("2").governance.redacted);
  EXPECT_THAT(text_of(by_id("2").metadata[1].second), Not(HasSubstr("hunter2secret")));
  EXPECT_FALSE(by_id("3").governance.redacted);
  RetrieverOptions strict;
  strict.max_alert_severity = 0.2;
  result = retriever(strict)->retrieve("upload", {.top_k = 2});
  EXPECT_THAT(ids(result), ElementsAre("bot 2", "bot 3"));
  EXPECT_THAT(result.left_out, ElementsAre("1 that governance forbids to show"));
}

TEST_F(Retrieving, OutcomesOfEachHit) {
  add("error", {"upload failed", "lunch"},
      "CREATE TABLE errors(id INTEGER PRIMARY KEY, frequency INTEGER); INSERT INTO errors VALUES "
      "(1, 3)");
  RetrieverOptions options;
  options.reliability = {{"error", {.win_rate = 0.75, .regret_rate = 0.25, .sample_count = 8}}};
  std::vector<RetrievalOutcome> told;
  options.sink = [&](const RetrieverResult& result) { told = result.metrics; };
  const auto one = retriever(options);
  one->retrieve("upload failed", {.top_k = 1});
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].prior_hits, 0U);
  EXPECT_EQ(told[0].hit_rate, 1);  // one was asked for, one found
  one->retrieve("upload failed", {.top_k = 2});
  ASSERT_THAT(told, SizeIs(2));
  EXPECT_EQ(told[0].origin_db, "error");
  EXPECT_EQ(told[0].db_type, "note");
  EXPECT_EQ(told[0].record_id, "1");
  EXPECT_EQ(told[0].vector_id, "1");
  EXPECT_EQ(told[0].rank, 1U);
  EXPECT_EQ(told[0].prior_hits, 1U);
  EXPECT_EQ(told[0].frequency, 3);
  EXPECT_NEAR(told[0].context_score, std::log(4.0) / (1 + std::log(4.0)), 1e-9);
  EXPECT_NEAR(told[0].similarity, 1, 1e-4);
  EXPECT_EQ(told[0].win_rate, 0.75);
  EXPECT_EQ(told[0].regret_rate, 0.25);
  EXPECT_EQ(told[0].reliability_score, 0.5);
  EXPECT_EQ(told[0].sample_count, 8U);
  EXPECT_EQ(told[0].session_id, std::string(32, '7'));
  ASSERT_TRUE(told[0].age.has_value());
  EXPECT_GE(*told[0].age, 0);
  EXPECT_LT(*told[0].age, 3600);
  EXPECT_EQ(told[1].rank, 2U);
  EXPECT_THAT(to_json(told[0]),
              HasSubstr(R"("origin_db":"error","db_type":"note","record_id":"1")"));
}

TEST_F(Retrieving, AFeedbackEventReloadsReliability) {
  add("bot", {"upload"});
  std::function<void()> handler;
  double win_rate = 0.5;
  RetrieverOptions options;
  options.reliability_source = [&] {
    return std::map<std::string, Reliability>{{"bot", {.win_rate = win_rate}}};
  };
  options.subscribe = [&](const std::string& topic, std::function<void()> told) {
    EXPECT_EQ(topic, "retrieval:feedback");
    handler = std::move(told);
  };
  const auto one = retriever(options);
  EXPECT_EQ(one->reliability_metrics().at("bot").win_rate, 0.5);
  win_rate = 0.75;
  handler();
  EXPECT_EQ(one->reliability_metrics().at("bot").win_rate, 0.75);
}

TEST_F(Retrieving, AStoreForWhenOthersFoundTooLittle) {
  add("bot", {"upload bot", "lunch bot"});
  const auto code = std::make_shared<SeedLikeStore>(
      folder_.path(), "snippets", encoder_,
      std::vector<std::pair<std::string, std::string>>{{"upload code", "author"}});
  code->backfill_embeddings();
  const auto one = retriever();
  one->register_db("code", code, {"cid"}, AskStore::kWhenShort);
  EXPECT_THROW(one->register_db("code", code), InvalidArgument);
  EXPECT_THAT(ids(one->retrieve("upload", {.top_k = 2})), ElementsAre("bot 1", "bot 2"));
  EXPECT_THAT(ids(one->retrieve("upload", {.top_k = 3})),
              UnorderedElementsAre("bot 1", "bot 2", "code 1"));
}

TEST_F(Retrieving, ConfidenceOfACalibratedStoreIsNotTheScoreOfItsSignals) {
  std::vector<std::string> bodies(60, "lunch");
  bodies[0] = "upload bot";
  add("bot", bodies,
      "CREATE TABLE bot_workflow(bot_id INTEGER, workflow_id INTEGER);"
      "INSERT INTO bot_workflow VALUES (1, 1)");
  const auto one = retriever();
  const ConfidentHit hit = one->retrieve_with_confidence("upload bot", {.top_k = 2}).results[0];
  ASSERT_TRUE(hit.confidence);
  EXPECT_EQ(hit.confidence, one->retrieve("upload bot", {.top_k = 2}).results[0].confidence);
  EXPECT_NE(*hit.confidence, hit.score);  // which is the mean with `deploy`
}

TEST_F(Retrieving, AStoreForWhenShortIsAskedWhenNothingReliableWasFound) {
  add("bot", {"upload bot", "upload", "upload upload"});
  const auto code = std::make_shared<SeedLikeStore>(
      folder_.path(), "snippets", encoder_,
      std::vector<std::pair<std::string, std::string>>{{"upload code", "author"}});
  code->backfill_embeddings();
  RetrieverOptions options;
  options.reliability = {{"bot", {.win_rate = 0.1}}, {"code", {.win_rate = 0.9}}};
  options.reliability_threshold = 0.5;
  const auto one = retriever(options);
  one->register_db("code", code, {"cid"}, AskStore::kWhenShort);
  const RetrieverResult result = one->retrieve("upload", {.top_k = 2});
  EXPECT_THAT(result.fallback_sources, ElementsAre("code"));
  EXPECT_EQ(result.candidates, 3U);  // two of the bots, and the code
  options.reliability["bot"].win_rate = 0.9;
  const auto other = retriever(options);
  other->register_db("code", code, {"cid"}, AskStore::kWhenShort);
  EXPECT_THAT(ids(other->retrieve("upload", {.top_k = 2})), Each(HasSubstr("bot")));
}

TEST_F(Retrieving, CodeIsJudgedByItsComplexity) {
  const auto code = std::make_shared<SeedLikeStore>(
      folder_.path(), "snippets", encoder_,
      std::vector<std::pair<std::string, std::string>>{{"upload code", "author"},
                                                       {"upload code too", "author"}});
  code->connection().execute(
      "CREATE TABLE code(id INTEGER PRIMARY KEY, complexity REAL);"
      "INSERT INTO code VALUES (1, 3), (2, 12)");
  code->backfill_embeddings();
  const auto one = std::make_unique<UniversalRetriever>(std::vector<std::shared_ptr<Store>>{},
                                                        RetrieverOptions{});
  one->register_db("code", code, {"cid"});
  const RetrieverResult result = one->retrieve("upload code");
  ASSERT_THAT(ids(result), UnorderedElementsAre("code 1", "code 2"));
  const auto& second = *std::ranges::find(result.results, "2", &ResultBundle::record_id);
  EXPECT_EQ(second.signals.at("complexity"), 12);
  EXPECT_NEAR(second.context_score, std::log(13.0) / (1 + std::log(13.0)), 1e-9);
  EXPECT_EQ(second.reason, "high code complexity (complexity=12.00)");
  const auto& first = *std::ranges::find(result.results, "1", &ResultBundle::record_id);
  const auto part = std::ranges::find(first.parts, "complexity", &SignalPart::signal);
  ASSERT_NE(part, first.parts.end());
  EXPECT_NEAR(part->value, 3.0 / 12, 1e-9);  // as a share of the largest
}

TEST_F(Retrieving, ARouterLeavesOutWhatRepeatsABetterResult) {
  add("bot", {"upload the file", "Upload  the file", "upload the file", "lunch"});
  const auto found = [&](double limit) {
    RouterOptions options;
    options.redundancy_limit = limit;
    return DatabaseRouter(retriever(), stores_, options).semantic_search("upload the file").size();
  };
  EXPECT_EQ(found(1), 4U);
  EXPECT_EQ(found(0.25), 3U);  // one of the four may repeat
  EXPECT_EQ(found(0), 2U);
  const auto variables = [](const std::string& limit) {
    return DatabaseRouter::options_from([&](const std::string& name) {
      return name == "DB_REDUNDANCY_LIMIT" ? std::optional(limit) : std::nullopt;
    });
  };
  EXPECT_EQ(variables("0.5").redundancy_limit, 0.5);
  EXPECT_EQ(variables("0.5").min_reliability, 0);
  EXPECT_THROW(variables("much"), InvalidArgument);
  EXPECT_THROW(variables("2"), InvalidArgument);
  EXPECT_THROW(variables("nan"), InvalidArgument);
}

TEST_F(Retrieving, OnlyKindsAndAgesThatAreAskedFor) {
  add("bot", {"upload bot"});
  EXPECT_THAT(ids(retriever()->retrieve("upload", {.rows = {.kinds = {"note", "other"}}})),
              SizeIs(1));
  EXPECT_THAT(ids(retriever()->retrieve("upload", {.rows = {.kinds = {"other"}}})), IsEmpty());
  EXPECT_THAT(ids(retriever()->retrieve("upload", {.rows = {.max_age = std::chrono::hours(1)}})),
              SizeIs(1));
  EXPECT_THAT(
      ids(retriever()->retrieve("upload", {.rows = {.max_age = std::chrono::seconds(-60)}})),
      IsEmpty());
  EXPECT_THAT(ids(retriever()->retrieve("upload", {.rows = {.scope = Scope::kLocal}})), SizeIs(1));
  EXPECT_THAT(ids(retriever()->retrieve("upload", {.rows = {.scope = Scope::kGlobal}})), IsEmpty());
}

TEST_F(Retrieving, ARankingModelIsReadFromAFileAndLoadedAnew) {
  const auto write = [&](const std::string& json) {
    std::ofstream(folder_.path() / "model.json") << json;
  };
  write(R"({"features": ["db_bot", "age"], "coef": [[2, 0]], "intercept": [0.5]})");
  const RankingModel model = RankingModel::load(folder_.path() / "model.json");
  EXPECT_NEAR(model.probability({}, "bot"), 1 / (1 + std::exp(-2.5)), 1e-12);
  EXPECT_NEAR(model.probability({}, "error"), 1 / (1 + std::exp(-0.5)), 1e-12);
  EXPECT_EQ(model.probability({{"age", NAN}}, "bot"), 1);  // no number comes out
  add("information", {"upload"});
  RetrieverOptions options;
  options.scoring = Scoring::kWeighted;
  options.model_path = folder_.path() / "none.json";
  const auto one = retriever(options);
  EXPECT_NEAR(one->retrieve("upload").results[0].score, 1, 1e-3);
  one->reload_ranker_model(folder_.path() / "model.json");
  EXPECT_NEAR(one->retrieve("upload").results[0].score, 1 / (1 + std::exp(-0.5)), 1e-3);
  write(R"({"features": ["a"], "coef": [], "intercept": 0})");
  EXPECT_THROW(one->reload_ranker_model(folder_.path() / "model.json"), InvalidArgument);
  write("[");
  EXPECT_THROW(one->reload_ranker_model(folder_.path() / "model.json"), CorruptData);
  EXPECT_NEAR(one->retrieve("upload").results[0].score, 1 / (1 + std::exp(-0.5)), 1e-3);
}

}  // namespace
}  // namespace nearlite
