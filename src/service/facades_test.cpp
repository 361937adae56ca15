// ContextBuilder, BackfillJobs and metrics: with fakes, and with the parts they are
// made for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "fake_store.h"
#include "nearlite/governance/rule_gate.h"
#include "nearlite/service/backfill_jobs.h"
#include "nearlite/service/context_builder.h"
#include "nearlite/service/embedding_freshness.h"
#include "nearlite/service/open_stores.h"
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

RetrievalResult result_of(std::vector<RetrievalHit> hits) {
  RetrievalResult result;
  result.hits = std::move(hits);
  return result;
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

TEST_F(Contexts, AreWeighedByWhatIsKnownOfRowsAndOrigins) {
  hits_ = {hit_of("bot", 1, 0.5, "plain"), hit_of("bot", 2, 0.5, "earns"),
           hit_of("bot", 3, 0.5, "risky"), hit_of("error", 4, 0.9, "of a bad origin")};
  hits_[1].fields = {{"roi", 3.0}};
  hits_[2].fields = {{"risk_score", 0.4}};
  ContextParts parts;
  parts.reliability = [] {
    return std::map<std::string, Reliability>{{"error", {.win_rate = 0.1, .regret_rate = 0.5}}};
  };
  ContextSettings settings;
  settings.db_weights = {{"bot", 0.5}};
  const ContextBuilder weighed([this](std::string_view, const RetrievalOptions&,
                                      const std::string&) { return result_of(hits_); },
                               encoder_, system_clock(), null_log_sink(), metrics_, settings,
                               parts);
  const BuiltContext context = weighed.build("q", {.max_tokens = 10'000});
  ASSERT_THAT(context.entries, SizeIs(4));
  EXPECT_EQ(context.entries[0].key, RecordKey(4));
  EXPECT_NEAR(context.entries[0].score, 0.9 - 0.5, 1e-9);  // less the regrets of its origin
  EXPECT_EQ(context.entries[1].key, RecordKey(2));
  EXPECT_NEAR(context.entries[1].score, 0.5 * (1 + 0.75) * 0.5, 1e-9);
  EXPECT_NEAR(context.entries[2].score, 0.25, 1e-9);
  EXPECT_NEAR(context.entries[3].score, (0.5 - 0.4) * 0.5, 1e-9);
  EXPECT_THAT(context.json, HasSubstr("\"roi\":3.0"));
  EXPECT_THAT(context.json, HasSubstr("\"risk_score\":0.4"));
}

TEST_F(Contexts, AreGovernedAndSaySo) {
  hits_ = {hit_of("note", 1, 0.9, "Licensed under the GNU General Public License version 3"),
           hit_of("note", 2, 0.8, "token sk_live_abcdefghijklmnop0123 inside"),
           hit_of("note", 3, 0.7, "fine")};
  hits_[2].fields = {{"strategy_hash", std::string("s1")}};
  ContextParts parts;
  parts.gate = builtin_gate(GateLevel::kFull);
  const ContextBuilder governed([this](std::string_view, const RetrievalOptions&,
                                       const std::string&) { return result_of(hits_); },
                                encoder_, system_clock(), null_log_sink(), metrics_, {}, parts);
  const BuiltContext context =
      governed.build_context("q", {.max_tokens = 10'000, .exclude_strategies = {"s1"}});
  ASSERT_THAT(context.entries, SizeIs(1));
  EXPECT_THAT(context.json, HasSubstr("[REDACTED]"));
  EXPECT_TRUE(context.entries[0].flags.redacted);
  EXPECT_EQ(governed.build_async("q", {.max_tokens = 10'000}).get().entries.size(), 2U);
}

TEST_F(Contexts, LoseTheOldestOrTheLeastUsefulFirst) {
  hits_ = {hit_of("note", 1, 0.9, "new"), hit_of("note", 2, 0.8, "old"),
           hit_of("note", 3, 0.7, "pays")};
  hits_[0].fields = {{"ts", std::string("2026-01-03")}, {"roi", 1.0}};
  hits_[1].fields = {{"ts", std::string("2026-01-01")}, {"roi", 2.0}};
  hits_[2].fields = {{"ts", std::string("2026-01-02")}, {"roi", 9.0}};
  const auto kept = [&](Keep keep) {
    const std::size_t all = builder().build("q", {.max_tokens = 10'000}).stats.tokens;
    std::vector<RecordKey> keys;
    for (const auto& entry : builder().build("q", {.max_tokens = all - 10, .keep = keep}).entries)
      keys.push_back(entry.key);
    return keys;
  };
  EXPECT_THAT(kept(Keep::kNewest), testing::UnorderedElementsAre(RecordKey(1), RecordKey(3)));
  EXPECT_THAT(kept(Keep::kRoi), testing::UnorderedElementsAre(RecordKey(2), RecordKey(3)));
}

TEST_F(Contexts, AreRefusedWhileStoresAreBehind) {
  std::map<std::string, std::string> stale = {{"bot", "record requires refresh"}};
  ContextParts parts;
  parts.stale = [&] { return stale; };
  const auto search = [this](std::string_view, const RetrievalOptions&, const std::string&) {
    return result_of(hits_);
  };
  const ContextBuilder strict(search, encoder_, system_clock(), null_log_sink(), metrics_, {},
                              parts);
  EXPECT_THAT(message_of<StaleEmbeddingsError>([&] { strict.build("q"); }),
              HasSubstr("bot: record requires refresh"));
  parts.rebuild = [&] { stale.clear(); };
  const ContextBuilder mending(search, encoder_, system_clock(), null_log_sink(), metrics_, {},
                               parts);
  EXPECT_THAT(mending.build("q").entries, testing::Not(testing::IsEmpty()));
}

TEST_F(Contexts, MakePromptsOfSeveralQuestions) {
  std::vector<std::string> questions;
  const ContextBuilder several(
      [&](std::string_view question, const RetrievalOptions&, const std::string&) {
        questions.emplace_back(question);
        RetrievalResult result;
        result.hits = {hit_of("note", 1, 0.5, "the  Same text"),
                       hit_of("note", static_cast<int>(questions.size()) + 1, 0.9,
                              questions.size() == 1 ? "The same  text" : "another")};
        return result;
      },
      encoder_, system_clock(), null_log_sink(), metrics_, {.prompt_max_tokens = 90});
  const BuiltPrompt prompt = several.build_prompt(
      "why?", {.intent = "mend it", .error_log = " ", .latent_queries = {"how?"}});
  EXPECT_THAT(questions, ElementsAre("why?", "mend it", "how?"));
  EXPECT_THAT(prompt.examples, SizeIs(1));  // one of the two texts fits
  EXPECT_LE(prompt.tokens, 90U);
  EXPECT_EQ(prompt.text.find("why?\n{"), 0U);
  EXPECT_EQ(several.build_prompt("why?").text.find("why?\n"), 0U);
}

TEST_F(Contexts, HoldPatchesAndLearnedWeights) {
  const TemporaryFolder folder;
  VectorMetricsDb kept(folder.path() / "vector_metrics.db");
  const std::vector<std::string_view> texts = {"mend the parser"};
  kept.put({.patch_id = "p1", .summary = "mend the parser", .diff = "a\nb\nc", .roi_delta = 2},
           encoder_.encode(texts, TextRole::kDocument).vectors, encoder_.info().identity);
  kept.adjust_db("bot", -0.5);
  kept.adjust_db("note", 0);
  const PatchRetriever patches(kept, encoder_);
  ContextParts parts;
  parts.patches = &patches;
  parts.weights = &kept;
  ContextBuilder learned([this](std::string_view, const RetrievalOptions&,
                                const std::string&) { return result_of(hits_); },
                         encoder_, system_clock(), null_log_sink(), metrics_, {.max_diff_lines = 2},
                         parts);
  const BuiltContext context = learned.build_context("mend the parser", {.max_tokens = 10'000});
  EXPECT_THAT(context.json, HasSubstr("\"patches\":[{\"id\":\"p1\""));
  EXPECT_THAT(context.json, HasSubstr("a\\nb\\n..."));
  EXPECT_GT(context.stats.patch_confidence, 0.9);
  EXPECT_NEAR(context.entries[1].score, 0.4, 1e-9);  // the bot, halved
  learned.refresh_db_weights(std::map<std::string, double>{{"bot", 0}});
  EXPECT_EQ(learned.build("mend the parser", {.max_tokens = 10'000}).entries[1].score, 0);
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

TEST(Metrics, AreOpenMetricsWhenAsked) {
  PrometheusMetrics metrics("1 \"x\"");
  metrics.add("embedding_scheduler_runs_total", {{"status", "success"}}, 2);
  metrics.observe("embedding_search_duration_seconds", {{"store", "bot"}, {"path", "exact"}},
                  0.004);
  for (int i = 0; i < 20; ++i)  // a histogram is many lines: fewer of them
    metrics.observe("embedding_backfill_duration_seconds", {{"store", std::to_string(i)}}, 1);
  const std::string text = metrics.exposition(PrometheusMetrics::Exposition::kOpenMetrics);
  EXPECT_THAT(text, HasSubstr("# TYPE embedding_scheduler_runs counter\n"));
  EXPECT_THAT(text, HasSubstr("embedding_scheduler_runs_total{status=\"success\"} 2.0\n"));
  EXPECT_THAT(text,
              HasSubstr("embedding_search_duration_seconds_bucket{path=\"exact\",store=\"bot\","
                        "le=\"1.0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("embedding_backfill_duration_seconds_count{store=\"other\"} 12\n"));
  EXPECT_THAT(text, HasSubstr("embedding_build_info{version=\"1 \\\"x\\\"\"} 1.0\n"));
  EXPECT_TRUE(text.ends_with("\n# EOF\n"));
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
