// Retriever, PatchSafety and PatchRetriever: with fakes, and with the parts they are made for.
#include "nearlite/service/retriever.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "fake_store.h"
#include "nearlite/service/patch_retriever.h"
#include "nearlite/service/service_error.h"
#include "nearlite_test/message_of.h"

namespace nearlite::vector_service {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kGpl[] = "This program is under the GNU General Public License version 2.";

class SetClock : public Clock {
 public:
  std::chrono::system_clock::time_point now() const override { return time; }
  std::chrono::system_clock::time_point time = parse_rfc3339("2026-11-30T12:00:00Z");
};

/// Does not wait, and counts how often it was asked to.
class HastyClock : public MonotonicClock {
 public:
  time_point now() const override { return {}; }
  bool wait_until(time_point, const std::stop_token&) const override {
    ++waits;
    return true;
  }
  mutable int waits = 0;
};

RetrievalHit hit_of(const std::string& origin, int key, double score, const std::string& text) {
  RetrievalHit hit;
  hit.origin = hit.store = origin;
  hit.key = key;
  hit.score = hit.similarity = score;
  hit.reason = "because";
  hit.snippet = text;
  return hit;
}

/// Every test of the facade runs against a search that says what the test wants.
class Facade : public testing::Test {
 protected:
  Retriever retriever(RetrieverParts parts = {}, RetrieverSettings settings = {}) {
    parts.search = [this](std::string_view question, const RetrievalOptions& options,
                          std::span<const std::string> dbs) {
      ++calls_;
      asked_ = options;
      dbs_.assign(dbs.begin(), dbs.end());
      if (!error_.empty()) throw std::runtime_error(error_);
      if (question == "fail") throw Unavailable("the disk is full");
      RetrievalResult result;
      result.k = options.k;
      StoreAnswer answer;
      answer.store = "bot";
      result.stores.push_back(answer);
      result.hits = options.mode == SearchMode::kKeyword ? words_ : hits_;
      return result;
    };
    return Retriever(std::move(parts), std::move(settings), clock_, hasty_, null_log_sink(),
                     metrics_);
  }
  SetClock clock_;
  HastyClock hasty_;
  PrometheusMetrics metrics_{"1"};
  int calls_ = 0;
  RetrievalOptions asked_;
  std::vector<std::string> dbs_;
  std::string error_;
  std::vector<RetrievalHit> hits_ = {hit_of("bot", 1, 0.9, "a bot"), hit_of("bot", 2, 0.5, "more")};
  std::vector<RetrievalHit> words_ = {hit_of("code", 9, 0.0, "def more(): pass")};
};

TEST_F(Facade, ReturnsWhatWasFoundWithItsProvenance) {
  const Retrieved found = retriever().search("bots", {.dbs = {"bot"}});
  ASSERT_THAT(found.items, SizeIs(2));
  EXPECT_EQ(found.items[0].origin_db, "bot");
  EXPECT_EQ(found.items[0].record_id, "1");
  EXPECT_EQ(found.items[0].score, 0.9);
  EXPECT_EQ(found.items[0].reason, "because");
  EXPECT_EQ(found.confidence, 0.9);
  EXPECT_FALSE(found.is_fallback());
  EXPECT_EQ(asked_.k, 5U);
  EXPECT_THAT(dbs_, ElementsAre("bot"));  // the original did not pass them on
  EXPECT_THAT(metrics_.exposition(),
              HasSubstr("vector_service_calls_total{function=\"Retriever.search\"} 1"));
}

TEST_F(Facade, ItsAsynchronousFormIsTheSame) {
  const Retriever asked = retriever();
  EXPECT_THAT(asked.search_async("bots", {.session_id = "s"}).get().items, SizeIs(2));
  EXPECT_THAT(asked.search_errors("bots").items, SizeIs(2));
  EXPECT_THAT(dbs_, ElementsAre("error"));
  EXPECT_THROW(asked.search_async(" ").get(), MalformedPromptError);
}

TEST_F(Facade, RefusesABlankQuestionAndAWrongSetUp) {
  EXPECT_THROW(retriever().search(" \n"), MalformedPromptError);
  EXPECT_THROW(retriever().search(""), VectorServiceError);
  EXPECT_THROW(Retriever(RetrieverParts{}, RetrieverSettings{}), RetrieverConfigurationError);
  EXPECT_EQ(calls_, 0);
}

TEST_F(Facade, TriesOnceMoreWhenItIsLimited) {
  error_ = "HTTP 429";
  EXPECT_THROW(retriever().search("bots"), RateLimitError);
  EXPECT_EQ(calls_, 2);
  EXPECT_EQ(hasty_.waits, 1);
  error_.clear();
  EXPECT_THAT(message_of<ServiceFailure>([&] { retriever().search("fail"); }),
              HasSubstr("the disk is full"));
}

TEST_F(Facade, LooksAtTwiceAsManyThenAtTheWords) {
  hits_ = {hit_of("bot", 1, 0.05, "far")};
  Retrieved found = retriever().search("bots");
  EXPECT_EQ(found.fallback_reason, "low confidence");
  EXPECT_EQ(found.confidence, 0.05);
  EXPECT_EQ(calls_, 3);  // 5, 10, words
  EXPECT_EQ(asked_.mode, SearchMode::kKeyword);
  ASSERT_THAT(found.items, SizeIs(1));
  EXPECT_EQ(found.items[0].record_id, "9");
  hits_.clear();
  found = retriever().search("bots", {.use_fts_fallback = false});
  EXPECT_EQ(found.fallback_reason, "no results");
  EXPECT_THAT(found.items, IsEmpty());
}

TEST_F(Facade, KeepsOutWhatGovernanceRefuses) {
  hits_ = {hit_of("bot", 1, 0.9, kGpl), hit_of("bot", 2, 0.8, "x = eval(input)"),
           hit_of("bot", 3, 0.7, "mail me: api_key = \"sk_live_abcdefghijklmnop0123\"")};
  Retrieved found = retriever().search("bots");
  ASSERT_THAT(found.items, SizeIs(2));
  EXPECT_EQ(found.items[0].record_id, "3");
  EXPECT_THAT(found.items[0].text, HasSubstr("[REDACTED]"));
  EXPECT_TRUE(found.items[0].flags.redacted);
  EXPECT_EQ(found.items[1].record_id, "2");  // 0.8 less the severity of what is quarantined
  EXPECT_NEAR(found.items[1].score, 0.05, 1e-9);
  EXPECT_THAT(found.items[1].flags.semantic_alerts, SizeIs(1));
  EXPECT_THAT(metrics_.exposition(), HasSubstr("patch_logger_vectors_total{risk=\"filtered\"} 1"));
  found = retriever().search("bots", {.max_alert_severity = 0.5});
  EXPECT_THAT(found.items, SizeIs(1));
}

TEST_F(Facade, TakesRisksAndTagsOffTheScore) {
  hits_ = {hit_of("bot", 1, 0.9, "a"), hit_of("bot", 2, 0.8, "b"), hit_of("bot", 3, 0.7, "c")};
  hits_[0].fields = {{"risk_score", 0.2}};
  hits_[1].fields = {{"roi_tag", std::string("low-ROI")}};
  hits_[2].fields = {{"tags", std::string("Old, secret")}};
  const Retrieved found = retriever({}, {.risk_penalty = 2, .roi_tag_weights = {{"low-ROI", 0.5}}})
                              .search("bots", {.exclude_tags = {"secret"}});
  ASSERT_THAT(found.items, SizeIs(2));
  EXPECT_NEAR(found.items[0].score, 0.5, 1e-9);  // 0.9 - 0.2 x 2
  EXPECT_NEAR(found.items[1].score, 0.3, 1e-9);
  EXPECT_EQ(found.items[1].roi_tag, "low-ROI");
}

TEST_F(Facade, RemembersAnswersByAllThatWasAsked) {
  RetrievalCache cache(std::chrono::hours(1), 2, clock_);
  const Retriever asked = retriever({.cache = &cache});
  asked.search("bots");
  asked.search("bots");
  EXPECT_EQ(calls_, 1);
  asked.search("bots", {.top_k = 1});  // the original answered with the five of before
  EXPECT_EQ(calls_, 2);
  clock_.time += std::chrono::minutes(61);
  asked.search("bots");
  EXPECT_EQ(calls_, 3);
  asked.search("other");
  asked.search("third");  // two are kept
  asked.search("bots");
  EXPECT_EQ(calls_, 6);
}

TEST(RealParts, ARetrieverOverStoresChoosesThemByName) {
  const TemporaryFolder folder;
  auto encoder = std::make_shared<WordEncoder>();
  std::vector<std::shared_ptr<Store>> stores;
  for (const char* name : {"first", "second"}) {
    auto store = std::make_shared<NoteStore>(
        folder.path(), name, encoder,
        std::vector<std::pair<std::string, std::string>>{{"red apples", "a"}, {"pears", "b"}});
    store->backfill_embeddings();
    stores.push_back(store);
  }
  const Retriever retriever(stores);
  const Retrieved all = retriever.search("red apples", RetrieverQuery{});
  EXPECT_EQ(all.items.front().record_id, "1");
  for (const RetrievedItem& item : retriever.search("red apples", {.dbs = {"second"}}).items)
    EXPECT_EQ(item.origin_db, "second");
  EXPECT_THROW(retriever.search("red apples", {.dbs = {"third"}}), InvalidArgument);
}

class Safety : public testing::Test {
 protected:
  std::shared_ptr<WordEncoder> encoder_ = std::make_shared<WordEncoder>();
  SetClock clock_;
  PrometheusMetrics metrics_{"1"};
};

TEST_F(Safety, RefusesByGovernance) {
  PatchSafety checked(encoder_, {.max_alerts = 1, .license_fingerprints = {{"f", "GPL-3.0"}}},
                      clock_, metrics_);
  EXPECT_TRUE(checked.evaluate({}).passed);
  EXPECT_FALSE(checked.pre_embed_check({.license = "GPL-2.0"}));
  EXPECT_FALSE(checked.pre_embed_check({.license_fingerprint = "f"}));
  EXPECT_FALSE(checked.pre_embed_check({.alignment_severity = 1.5}));
  EXPECT_FALSE(checked.evaluate({.semantic_alerts = {{"a", 1}, {"b", 1}}}).passed);
  EXPECT_TRUE(checked.pre_embed_check({.license = "MIT"}));
  EXPECT_THAT(metrics_.exposition(),
              HasSubstr("patch_safety_violations_total{type=\"license\"} 2"));
}

TEST_F(Safety, RecognizesAFailureOfThePast) {
  PatchSafety checked(encoder_, {}, clock_, metrics_);
  EXPECT_TRUE(checked.evaluate({}, "null pointer in parser").passed);  // nothing on record
  checked.record_failure("null pointer in parser", "bot");
  const SafetyVerdict same = checked.evaluate({}, "null pointer in parser");
  EXPECT_FALSE(same.passed);
  EXPECT_NEAR(same.score, 1, 1e-5);
  EXPECT_NEAR(same.risks.at("bot"), 1, 1e-5);
  // The same origin: its own likeness comes on top. Another one: it does not.
  EXPECT_NEAR(checked.evaluate({}, "null pointer in parser", "bot").score, 2, 1e-5);
  EXPECT_NEAR(checked.evaluate({}, "null pointer in parser", "error").score, 1, 1e-5);
  EXPECT_TRUE(checked.evaluate({}, "green trees").passed);
}

TEST_F(Safety, KeepsFailuresInAFileAndReadsThemAgain) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "failures.jsonl";
  PatchSafety one(encoder_, {.storage_path = file}, clock_, metrics_);
  one.record_failure("disk full", "error");
  std::ofstream(file, std::ios::app) << "no JSON\n{\"vector\":[0,0]}\n{\"vector\":\"x\"}\n";
  PatchSafety other(encoder_, {.storage_path = file}, clock_, metrics_);
  EXPECT_FALSE(other.evaluate({}, "disk full").passed);
  EXPECT_EQ(other.num_failures(), 1U);
  one.record_failure("out of memory", "error");
  EXPECT_TRUE(other.evaluate({}, "out of memory").passed);  // read less than an hour ago
  clock_.time += std::chrono::hours(2);
  EXPECT_FALSE(other.evaluate({}, "out of memory").passed);
}

/// The contract of a place for patches, kept by the real one.
class Patches : public testing::Test {
 protected:
  void put(const std::string& id, const std::string& summary, double enhancement = 0,
           const std::string& tag = "success") {
    PatchRecord patch{.patch_id = id, .summary = summary, .roi_tag = tag};
    patch.enhancement_score = enhancement;
    patch.errors = {"e1"};
    const std::vector<std::string_view> texts = {summary};
    patches_.put(patch, encoder_.encode(texts, TextRole::kDocument).vectors,
                 encoder_.info().identity);
  }
  TemporaryFolder folder_;
  WordEncoder encoder_;
  VectorMetricsDb patches_{folder_.path() / "vector_metrics.db"};
};

TEST_F(Patches, AreFoundByWhatTheySay) {
  put("p1", "fix the parser of dates");
  put("p2", "make the window green");
  const auto found = search_patches("parser of dates", patches_, encoder_);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].patch.patch_id, "p1");
  EXPECT_THAT(found[0].patch.errors, ElementsAre("e1"));
  EXPECT_GT(found[0].similarity, found[1].similarity);
  EXPECT_THROW(search_patches(" ", patches_, encoder_), MalformedPromptError);
}

TEST_F(Patches, AreWeighedByScoreAndTag) {
  put("p1", "fix the parser");
  put("p2", "fix the parser", 1e9);
  put("p3", "fix the parser", 0, "blocked");
  const PatchRetriever patches(patches_, encoder_, {.roi_tag_weights = {{"blocked", 0.5}}});
  const auto found = patches.search("fix the parser");
  ASSERT_THAT(found, SizeIs(3));
  EXPECT_EQ(found[0].patch.patch_id, "p2");
  EXPECT_LE(found[0].score, 2 * found[0].similarity);  // bounded, however large the patch was
  EXPECT_EQ(found[2].patch.patch_id, "p3");
  EXPECT_NEAR(found[2].score, 0.5, 1e-5);
  EXPECT_THAT(patches.search("fix the parser", 1, {"success"}), SizeIs(1));
  EXPECT_EQ(similarity_metric_of("inner_product"), SimilarityMetric::kInnerProduct);
  EXPECT_THROW(similarity_metric_of("euclid"), RetrieverConfigurationError);
}

TEST_F(Patches, WeightsAreKeptAndClamped) {
  EXPECT_THAT(patches_.db_weights(), IsEmpty());
  EXPECT_EQ(patches_.adjust_db("bot", 0.5), 1);  // trusted until it fails
  EXPECT_NEAR(patches_.adjust_db("bot", -0.08), 0.92, 1e-9);
  EXPECT_EQ(patches_.adjust_db("error", -7), 0);
  EXPECT_NEAR(patches_.adjust_vector("bot:1", -0.25), 0.75, 1e-9);
  EXPECT_FALSE(patches_.vector_weight("bot:2"));
  patches_.adjust_db("error", 0.92);
  patches_.normalize_dbs();
  VectorMetricsDb again(folder_.path() / "vector_metrics.db");
  EXPECT_NEAR(again.db_weights().at("bot"), 0.5, 1e-9);
  EXPECT_NEAR(*again.vector_weight("bot:1"), 0.75, 1e-9);
}

}  // namespace
}  // namespace nearlite::vector_service
