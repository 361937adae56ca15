// PatchLogger, CognitionLayer and events: with fakes, and with the parts they are made for.
#include "nearlite/service/patch_logger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "fake_store.h"
#include "nearlite/service/backfill_events.h"
#include "nearlite/service/cognition_layer.h"
#include "nearlite/service/retriever.h"

namespace nearlite::vector_service {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class KeptFeedback : public FeedbackSink {
 public:
  WinsAndRegrets record(const PatchOutcome& outcome, const Contributor& contributor) override {
    if (contributor.origin == "locked") throw Unavailable("it is locked");
    kept.push_back(contributor.vector_id + (outcome.result ? "+" : "-"));
    return {3, 1};
  }
  std::vector<std::string> kept;
};

class KeptEvents : public EventSink {
 public:
  void publish(std::string_view topic, const std::string& payload) noexcept override {
    topics.emplace_back(topic);
    payloads[std::string(topic)] = payload;
  }
  std::vector<std::string> topics;
  std::map<std::string, std::string> payloads;  // the last of each topic
};

TEST(PatchLogger, KeepsWhatHelpedAndTellsIt) {
  KeptFeedback feedback;
  KeptEvents events;
  PrometheusMetrics metrics("1");
  PatchLogger logger(feedback, system_clock(), null_log_sink(), metrics, events);
  Contributor risky = Contributor::of("bot:9", 1);
  risky.risk = 0.8;
  const TrackedPatch tracked = logger.track_contributors(
      {Contributor::of("bot:1:a", 0.5), Contributor::of("locked:2", 0.25), risky},
      {.result = true,
       .lines_changed = 10,
       .context_tokens = 5,
       .tests_passed = 3,
       .tests_failed = 1,
       .error_traces = {"x"},
       .effort_estimate = 2});
  EXPECT_THAT(feedback.kept, ElementsAre("1:a+"));
  EXPECT_THAT(tracked.errors, ElementsAre("locked: it is locked"));
  EXPECT_EQ(tracked.filtered, 1U);
  EXPECT_EQ(tracked.risks.at("bot"), 0.8);
  EXPECT_EQ(tracked.roi_delta, 0.75);
  EXPECT_EQ(tracked.patch_difficulty, 15);
  EXPECT_EQ(tracked.enhancement_score, 15 + 3 - 1 - 1 + 2);
  EXPECT_THAT(events.topics, testing::Contains("patch:risk_alert"));
  EXPECT_THAT(events.topics, testing::Contains("patch_logger:outcome"));
  EXPECT_THAT(metrics.exposition(), HasSubstr("patch_logger_vectors_total{risk=\"risky\"} 1"));
  EXPECT_TRUE(logger.track_contributors({}, {}).risks.empty());
  EXPECT_THROW(logger.track_contributors({}, {.roi_tag = "nice"}), InvalidArgument);
  EXPECT_THAT(events.payloads["retrieval:feedback"], HasSubstr("\"db\":\"locked\""));
  EXPECT_THAT(metrics.exposition(), HasSubstr("retriever_win_rate{db=\"bot\"} 0.75"));
  EXPECT_THAT(metrics.exposition(), HasSubstr("patch_logger_failures_total 1\n"));
}

TEST(PatchLogger, LearnsFromWhatFailed) {
  const TemporaryFolder folder;
  auto encoder = std::make_shared<WordEncoder>();
  PatchSafety safety(encoder);
  VectorMetricsDb kept(folder.path() / "vector_metrics.db");
  KeptFeedback feedback;
  KeptEvents events;
  PrometheusMetrics metrics("1");
  PatchLogger logger(
      feedback, system_clock(), null_log_sink(), metrics, events,
      {.safety = &safety, .patches = &kept, .weights = &kept, .encoder = encoder.get()});
  Contributor contributor = Contributor::of("bot:1", 0.5);
  const TrackedPatch failed =
      logger.track_contributors({contributor}, {.result = false,
                                                .patch_id = "p1",
                                                .session_id = "s",
                                                .tests_failed = 1,
                                                .roi_tag = "bug-introduced",
                                                .summary = "mend the parser of dates",
                                                .error_summary = "null pointer in parser"});
  EXPECT_THAT(failed.errors, testing::IsEmpty());
  EXPECT_EQ(safety.num_failures(), 1U);
  EXPECT_LT(kept.db_weights().at("bot"), 1);
  EXPECT_LT(*kept.vector_weight("bot:1"), 1);
  EXPECT_EQ(search_patches("parser of dates", kept, *encoder).front().patch.roi_tag,
            "bug-introduced");
  EXPECT_THAT(events.payloads["patch:summary"], HasSubstr("\"patch_id\":\"p1\""));
  // The same failure again: it is known now.
  contributor.error_text = "null pointer in parser";
  const double before = kept.db_weights().at("bot");
  const TrackedPatch again = logger.track_contributors({contributor}, {.result = true});
  EXPECT_EQ(again.filtered, 1U);
  EXPECT_GE(again.risks.at("bot"), PatchLogger::kRiskThreshold);
  EXPECT_EQ(kept.db_weights().at("bot"), before);
  Contributor licensed = Contributor::of("bot:2", 0.5);
  licensed.flags.license = "GPL-3.0";
  EXPECT_EQ(logger.track_contributors_async({licensed}, {.result = true}).get().filtered, 1U);
  EXPECT_THAT(metrics.exposition(), HasSubstr("patch_logger_vectors_total{risk=\"filtered\"} 1"));
}

TEST(CognitionLayer, AsksThenLearnsFromTheOutcomeOnce) {
  const TemporaryFolder folder;
  auto encoder = std::make_shared<WordEncoder>();
  auto store = std::make_shared<NoteStore>(
      folder.path(), "note", encoder,
      std::vector<std::pair<std::string, std::string>>{{"red apples", "a"}, {"pears", "b"}});
  store->backfill_embeddings();
  const Retriever retriever({store});
  const auto file = folder.path() / "vector_metrics.db";
  std::string session;
  {
    VectorMetricsDb kept(file);
    KeptFeedback feedback;
    PatchLogger logger(feedback);
    ContextBuilder builder(
        [&](std::string_view question, const RetrievalOptions& options, const std::string& id) {
          return retriever.search(question, options, id);
        },
        *encoder);
    CognitionLayer layer(builder, logger, kept, kept);
    const CognitionAnswer answer = layer.query("red apples", {.max_tokens = 10'000});
    EXPECT_THAT(answer.context, HasSubstr("red apples"));
    session = answer.session_id;
    EXPECT_FALSE(layer.record_patch_outcome("unknown", {}));
  }
  // Another process, after a restart.
  VectorMetricsDb kept(file);
  KeptFeedback feedback;
  KeptEvents events;
  PatchLogger logger(feedback);
  ContextBuilder builder({}, *encoder);
  std::vector<std::string> refreshed;
  CognitionLayer layer(builder, logger, kept, kept, system_clock(), null_log_sink(), null_metrics(),
                       events,
                       [&](const std::vector<std::string>& origins) { refreshed = origins; });
  const auto tracked = layer.record_patch_outcome_async(session, {.result = false}).get();
  ASSERT_TRUE(tracked);
  EXPECT_THAT(feedback.kept, testing::Contains("1-"));
  EXPECT_THAT(refreshed, ElementsAre("note"));
  EXPECT_THAT(events.topics, testing::Contains("retrieval:feedback"));
  EXPECT_FALSE(layer.record_patch_outcome(session, {}));
}

TEST(Events, ReachThoseWhoListen) {
  EventBus bus;
  std::vector<std::string> heard;
  auto one = bus.subscribe("a", [&](std::string_view topic, const std::string& payload) {
    heard.push_back(std::string(topic) + payload);
  });
  auto bad = bus.subscribe("a", [](auto, const auto&) { throw std::runtime_error("no"); });
  bus.publish("a", "1");
  bus.publish("b", "2");
  bad.cancel();
  { const auto moved = std::move(one); }
  bus.publish("a", "3");
  EXPECT_THAT(heard, ElementsAre("a1"));
}

TEST(Events, RefreshTheStoresTheyName) {
  EventBus bus;
  PrometheusMetrics metrics("1");
  std::promise<std::vector<std::string>> ran;
  std::vector<StoreSource> stores = {{"bot", "BotDB", {}, {}}, {"error", "ErrorDB", {}, {}}};
  BackfillEvents events(
      bus, [&] { return stores; },
      [&](std::span<const StoreSource> chosen, const BackfillRequest& request) {
        std::vector<std::string> names;
        std::vector<StoreBackfill> done;
        for (const StoreSource& store : chosen) {
          names.push_back(store.name + " " + request.trigger);
          done.push_back({store.name, store.class_name, BackfillResult(), {}, {}});
        }
        ran.set_value(names);
        return done;
      },
      metrics, {.batch = 2});
  bus.publish("db.record_changed", "{\"db\": \"bots\"}");
  bus.publish("db.record_changed", "no JSON");
  bus.publish("embedding:backfill", "{\"kind\": \"nobody\"}");
  bus.publish("embedding:backfill", "{\"db\": \"bots\"}");
  EXPECT_THAT(ran.get_future().get(), ElementsAre("bot event"));
}

TEST(PatchLogger, WritesTheTablesOfTheOriginal) {
  const TemporaryFolder folder;
  FeedbackFile file([&](const std::string& origin) { return folder.path() / (origin + ".db"); });
  PatchLogger logger(file);
  for (const bool helped : {true, true, false})
    logger.track_contributors({Contributor::of("bot:7")}, {.result = helped, .patch_id = "p"});
  Connection db = Connection::open(folder.path() / "bot.db", false);
  Statement row = db.prepare("SELECT wins, regrets FROM retriever_stats WHERE origin_db = 'bot'");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.int64(0), 2);
  EXPECT_EQ(row.int64(1), 1);
}

}  // namespace
}  // namespace nearlite::vector_service
