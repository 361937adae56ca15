// ContextBuilder, PatchLogger, BackfillJobs and metrics: with fakes, and with the parts they are
// made for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "fake_store.h"
#include "nearlite/service/backfill_jobs.h"
#include "nearlite/service/context_builder.h"
#include "nearlite/service/open_stores.h"
#include "nearlite/service/patch_logger.h"
#include "nearlite/service/retriever.h"
#include "nearlite_test/message_of.h"

namespace nearlite::vector_service {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

RetrievalHit hit_of(const std::string& origin, int key, double score, const std::string& text) {
  RetrievalHit hit;
  hit.origin = hit.store = origin;
  hit.key = key;
  hit.score = hit.similarity = score;
  hit.reason = "because";
  hit.snippet = text;
  return hit;
}

class Contexts : public testing::Test {
 protected:
  ContextBuilder builder() {
    return ContextBuilder(
        [this](std::string_view question, const RetrievalOptions& options, const std::string&) {
          if (question == " ") throw InvalidArgument("the question is blank");
          asked_ = options;
          RetrievalResult result;
          result.hits = hits_;
          return result;
        },
        encoder_, system_clock(), null_log_sink(), metrics_);
  }
  WordEncoder encoder_;  // one token per byte
  PrometheusMetrics metrics_{"1"};
  RetrievalOptions asked_;
  std::vector<RetrievalHit> hits_ = {
      hit_of("note", 1, 0.9, "first note"), hit_of("bot", 2, 0.8, "a bot that helps"),
      hit_of("error", 3, 0.7, "an error that happened"), hit_of("note", 4, 0.6, "second note")};
};

TEST_F(Contexts, AreGroupedByOriginInTheSeedsOrder) {
  const BuiltContext context = builder().build_context("question", {.max_tokens = 10'000});
  EXPECT_EQ(asked_.k, 25U);
  ASSERT_THAT(context.entries, SizeIs(4));
  EXPECT_EQ(context.json.find("{\"errors\":["), 0U);
  EXPECT_LT(context.json.find("\"bots\""), context.json.find("\"note\""));
  EXPECT_EQ(context.entries[2].key, RecordKey(1));
  EXPECT_EQ(std::get<1>(context.vectors[0]), "error:3");
  EXPECT_FALSE(context.truncated);
  EXPECT_EQ(builder().query("question", {.max_tokens = 10'000}).json, context.json);
  const BuiltContext notes_first =
      builder().build_context("question", {.max_tokens = 10'000, .prioritise = {"note"}});
  EXPECT_EQ(notes_first.json.find("{\"note\":["), 0U);
}

TEST_F(Contexts, NeverExceedTheBudget) {
  hits_[3].snippet = std::string("word ") + std::string(400, 'x') + " and many more words behind";
  std::size_t entries = 0;
  for (std::size_t budget : {1UL, 60UL, 90UL, 150UL, 250UL, 400UL, 800UL, 5000UL}) {
    const BuiltContext context = builder().build_context("q", {.max_tokens = budget});
    if (!context.entries.empty()) {
      EXPECT_LE(context.stats.tokens, budget);
    }
    EXPECT_GE(context.entries.size(), entries) << "more room, fewer entries";
    entries = context.entries.size();
  }
  EXPECT_EQ(entries, 4U);
}

TEST_F(Contexts, TakeTheBestPerOriginAndLeaveTagsOut) {
  hits_.push_back(hit_of("note", 5, 0.5, "third note"));
  hits_[0].fields = {{"tags", std::string("Private,home")}};
  const BuiltContext context =
      builder().build_context("q", {.top_k = 1, .max_tokens = 10'000, .exclude_tags = {"private"}});
  EXPECT_THAT(context.json, Not(HasSubstr("first note")));
  EXPECT_THAT(context.json, HasSubstr("second note"));
  EXPECT_THAT(context.json, Not(HasSubstr("third note")));
}

TEST_F(Contexts, RefuseABlankQuestionAndNoBudget) {
  EXPECT_THROW(builder().build_context(" "), InvalidArgument);
  EXPECT_THROW(builder().build_context("q", {.max_tokens = 0}), InvalidArgument);
}

TEST_F(Contexts, WorkOverARealStore) {
  const TemporaryFolder folder;
  auto encoder = std::make_shared<WordEncoder>();
  auto store = std::make_shared<NoteStore>(
      folder.path(), "note", encoder,
      std::vector<std::pair<std::string, std::string>>{{"red apples", "a"}, {"green pears", "b"}});
  store->backfill_embeddings();
  const Retriever retriever({store});
  const ContextBuilder real(
      [&](std::string_view question, const RetrievalOptions& options, const std::string& session) {
        return retriever.search(question, options, session);
      },
      *encoder);
  const BuiltContext context = real.build_context("pears", {.max_tokens = 1000});
  EXPECT_THAT(context.entries.front().desc, HasSubstr("green pears"));
}

class KeptFeedback : public FeedbackSink {
 public:
  void record(const PatchOutcome& outcome, const Contributor& contributor) override {
    if (contributor.origin == "locked") throw Unavailable("it is locked");
    kept.push_back(contributor.vector_id + (outcome.result ? "+" : "-"));
  }
  std::vector<std::string> kept;
};

class KeptEvents : public EventSink {
 public:
  void publish(std::string_view topic, const std::string&) noexcept override {
    topics.emplace_back(topic);
  }
  std::vector<std::string> topics;
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

TEST(Metrics, CountWrongNamesInsteadOfFailing) {
  PrometheusMetrics metrics("1.2");
  metrics.add("no_such_total", {});
  metrics.set("embedding_scheduler_runs_total", {{"status", "x"}}, 1);
  metrics.add("embedding_scheduler_runs_total", {{"color", "red"}});
  for (int i = 0; i < 200; ++i)
    metrics.add("embedding_backfill_records_total",
                {{"store", std::to_string(i)}, {"status", "embedded"}});
  const std::string text = metrics.exposition();
  EXPECT_THAT(text, HasSubstr("nearlite_metrics_errors_total 3\n"));
  EXPECT_THAT(text, HasSubstr("{status=\"other\",store=\"other\"} 136\n"));
  EXPECT_THAT(text, HasSubstr("embedding_build_info{version=\"1.2\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE embedding_scheduler_run_duration_seconds gauge\n"));
}

class Jobs : public testing::Test {
 protected:
  /// Each run waits for `gate_`, then reports what `outcome_` says.
  BackfillJobs jobs_{system_clock(),
                     [this](std::span<const StoreSource> stores, const BackfillRequest& request,
                            const BackfillObserver& observer) {
                       observer.begin(stores[0], 1, 1);
                       begun_.set_value();
                       gate_.get_future().wait();
                       observer.progress(stores[0], {5, 10, 1, 7, 3});
                       StoreBackfill done;
                       done.store = stores[0].name;
                       done.result = BackfillResult();
                       done.result->stopped = request.options.stop.stop_requested();
                       observer.end(done);
                       return std::vector{done};
                     }};
  int calls_ = 0;
  std::promise<void> begun_;
  std::promise<void> gate_;
  std::vector<StoreSource> stores_ = {{"note", "note", {}, {}}};
};

TEST_F(Jobs, AreWatchedToTheirEnd) {
  const std::string id = jobs_.start(stores_, {}, "key");
  EXPECT_EQ(jobs_.start(stores_, {}, "key"), id);
  begun_.get_future().wait();
  EXPECT_EQ(jobs_.status(id)->state, JobState::kRunning);
  std::promise<void> ended;
  jobs_.add_listener(id, [&, told = false]() mutable {
    // Called with the jobs locked: it must not ask back.
    if (++calls_ == 3 && !std::exchange(told, true)) ended.set_value();
  });
  gate_.set_value();
  ended.get_future().wait();
  jobs_.stop();
  EXPECT_EQ(jobs_.status(id)->state, JobState::kDone);
  std::vector<std::string> kinds;
  const auto all = jobs_.events_after(id, 0);
  for (const JobEvent& event : all->events) kinds.push_back(event.kind);
  EXPECT_THAT(kinds, ElementsAre("store", "progress", "result", "end"));
  EXPECT_EQ(jobs_.events_after(id, 3)->events.size(), 1U);
  EXPECT_FALSE(jobs_.cancel(id));
  EXPECT_FALSE(jobs_.events_after("job-9", 0));
  EXPECT_THROW(jobs_.start(stores_, {}), Unavailable);  // it is stopping
}

TEST_F(Jobs, AreCancelled) {
  const std::string running = jobs_.start(stores_, {});
  begun_.get_future().wait();
  const std::string waiting = jobs_.start(stores_, {});
  EXPECT_TRUE(jobs_.cancel(waiting));
  EXPECT_EQ(jobs_.status(waiting)->state, JobState::kCancelled);
  EXPECT_TRUE(jobs_.cancel(running));
  gate_.set_value();
  jobs_.stop();
  EXPECT_EQ(jobs_.status(running)->state, JobState::kCancelled);
  EXPECT_TRUE(jobs_.status(running)->results.front().result->stopped);
}

TEST(OpenStores, AreOpenedOnceAndForgotten) {
  const TemporaryFolder folder;
  int opened = 0;
  auto encoder = std::make_shared<WordEncoder>();
  OpenStores stores({{"note", "note", {}, [&](std::optional<Backend>) -> std::unique_ptr<Store> {
                        std::filesystem::remove(folder.path() / "note.db");
                        ++opened;
                        return std::make_unique<NoteStore>(
                            folder.path(), "note", encoder,
                            std::vector<std::pair<std::string, std::string>>{{"a", "b"}});
                      }}});
  const auto first = stores.get("note");
  EXPECT_EQ(stores.get("note"), first);
  EXPECT_EQ(opened, 1);
  stores.forget("note");
  stores.get("note");
  EXPECT_EQ(opened, 2);
  EXPECT_THROW(stores.get("nota"), NotFound);
  stores.replace({});
  EXPECT_FALSE(stores.has("note"));
}

}  // namespace
}  // namespace nearlite::vector_service
