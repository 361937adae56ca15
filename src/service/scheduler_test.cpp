#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_store.h"
#include "nearlite/service/bootstrap.h"
#include "nearlite_test/message_of.h"

namespace nearlite {
namespace {

using namespace std::chrono_literals;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using vector_service::StoreSource;

/// Time that passes only when somebody waits: each wait may be given a delay of its own.
class FakeMonotonic : public MonotonicClock {
 public:
  time_point now() const override { return now_; }
  bool wait_until(time_point time, const std::stop_token& stop) const override {
    if (waits.size() >= most_waits) {
      stopper->request_stop();
      return false;
    }
    waits.push_back(time - now_);
    now_ = std::max(now_, time);
    if (!delays.empty()) {
      now_ += delays.front();
      delays.erase(delays.begin());
    }
    return !stop.stop_requested();
  }
  void pass(std::chrono::steady_clock::duration time) { now_ += time; }

  std::size_t most_waits = 3;
  std::stop_source* stopper = nullptr;
  mutable std::vector<std::chrono::steady_clock::duration> delays;  // of the machine's sleep
  mutable std::vector<std::chrono::steady_clock::duration> waits;

 private:
  mutable time_point now_ = time_point(1000h);
};

class GrantedLease : public SchedulerLease {
 public:
  bool try_take() override { return refusals == 0 || refusals-- == 0; }
  int refusals = 0;
};

class Scheduler : public testing::Test {
 protected:
  Scheduler() { monotonic_.stopper = &stop_; }

  StoreSource store(const std::string& name, std::chrono::steady_clock::duration takes = {}) {
    return {name, name + "DB", folder_.path() / "metrics.db",
            [this, name, takes](std::optional<Backend>) -> std::unique_ptr<Store> {
              opened_.push_back(name);
              monotonic_.pass(takes);
              if (broken_.contains(name)) throw Unavailable("it is locked");
              std::filesystem::remove(folder_.path() / (name + ".db"));  // made anew each time
              return std::make_unique<NoteStore>(
                  folder_.path(), name, encoder_,
                  std::vector<std::pair<std::string, std::string>>{{"a note", "me"}});
            }};
  }
  void run(std::vector<StoreSource> stores, SchedulerOptions options = {.interval = 10s}) {
    EmbeddingScheduler scheduler(
        options, {[stores] { return stores; }, system_clock(), monotonic_, statistics_,
                  null_log_sink(), metrics_, lease_, [] { return 0.5; }});
    scheduler.run(stop_.get_token());
  }
  std::string metric(const std::string& name) const {
    const std::string text = metrics_.exposition();
    const std::size_t at = text.find("\n" + name + " ");
    if (at == std::string::npos) return "";
    const std::size_t begin = at + name.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
  }
  std::string runs(const std::string& status) const {
    return metric("embedding_scheduler_runs_total{status=\"" + status + "\"}");
  }

  TemporaryFolder folder_;
  std::shared_ptr<WordEncoder> encoder_ = std::make_shared<WordEncoder>();
  FakeMonotonic monotonic_;
  GrantedLease lease_;
  PrometheusMetrics metrics_{"1"};
  vector_service::MetricsFileSink statistics_;
  std::stop_source stop_;
  std::vector<std::string> opened_;
  std::set<std::string> broken_;
};

TEST_F(Scheduler, RunsAtOnceAndThenAfterEachInterval) {
  run({store("note")});
  EXPECT_THAT(opened_, SizeIs(4));
  EXPECT_THAT(monotonic_.waits, ElementsAre(10s, 10s, 10s));
  EXPECT_EQ(runs("success"), "4");
  EXPECT_EQ(runs("skipped"), "0");
  EXPECT_EQ(metric("embedding_scheduler_run_duration_seconds"), "0");
}

TEST_F(Scheduler, CatchesUpAtMostOnceAfterASleepOfTheMachine) {
  monotonic_.delays = {87600h};  // ten years
  run({store("note")});
  EXPECT_THAT(opened_, SizeIs(4));  // one for all that was missed, then one per interval again
  EXPECT_THAT(monotonic_.waits, SizeIs(3));
  EXPECT_LE(monotonic_.waits[1], 10s);
  EXPECT_EQ(runs("skipped"), "31536000");
}

TEST_F(Scheduler, NeverRunsTwiceAtOnceAndCountsWhatIsSkipped) {
  monotonic_.most_waits = 2;
  run({store("slow", 25s)});
  EXPECT_THAT(opened_, SizeIs(3));
  EXPECT_THAT(monotonic_.waits, ElementsAre(5s, 5s));  // the next full ten seconds
  EXPECT_EQ(runs("skipped"), "6");
  EXPECT_EQ(metric("embedding_scheduler_run_duration_seconds"), "25");
}

TEST_F(Scheduler, WaitsWhileAnotherProcessHasTheLease) {
  lease_.refusals = 2;
  run({store("note")});
  EXPECT_THAT(opened_, SizeIs(2));
  EXPECT_THAT(monotonic_.waits, ElementsAre(10s, 10s, 10s));  // two of them for the lease
}

TEST(FileLease, BelongsToOneAndIsFreeWhenThatOneIsGone) {
  const TemporaryFolder folder;
  auto first = std::make_unique<FileLease>(std::vector{folder.path()});
  FileLease second({folder.path()});
  EXPECT_TRUE(first->try_take());
  EXPECT_TRUE(first->try_take());
  EXPECT_FALSE(second.try_take());
  first.reset();
  EXPECT_TRUE(second.try_take());
}

TEST_F(Scheduler, TriesABrokenStoreLaterAndLaterAndTheOthersAlways) {
  broken_ = {"bad"};
  monotonic_.most_waits = 7;
  run({store("bad"), store("good")});
  EXPECT_EQ(std::ranges::count(opened_, "good"), 8);
  EXPECT_EQ(std::ranges::count(opened_, "bad"), 4);  // at 0, 1, 3 and 7 intervals
  EXPECT_EQ(runs("partial"), "4");
  EXPECT_EQ(runs("success"), "4");
}

TEST_F(Scheduler, StopsAfterTheRunningBatch) {
  std::vector<StoreSource> stores = {store("one"), store("two")};
  auto open = stores[0].open;
  stores[0].open = [this, open](std::optional<Backend> backend) {
    stop_.request_stop();
    return open(backend);
  };
  run(stores);
  EXPECT_THAT(opened_, ElementsAre("one"));
  EXPECT_THAT(monotonic_.waits, SizeIs(testing::Le(1U)));
}

TEST_F(Scheduler, DelaysByTheJitter) {
  run({store("note")}, {.interval = 10s, .jitter = 0.2});
  EXPECT_THAT(monotonic_.waits, ElementsAre(11s, 10s, 10s));  // each 1 s after its full ten seconds
}

SchedulerSettings settings_of(std::map<std::string, std::string> variables) {
  return SchedulerSettings::from(Environment{std::move(variables)});
}

TEST(SchedulerSettings, HaveTheDefaultsOfTheDocuments) {
  const SchedulerSettings settings = settings_of({});
  EXPECT_TRUE(settings.enabled);
  EXPECT_EQ(settings.options.interval.count(), 86400);
  EXPECT_FALSE(settings.options.batch_size);
  EXPECT_FALSE(settings.options.backend);
  EXPECT_THAT(settings.dbs, SizeIs(0));
}

TEST(SchedulerSettings, AreReadFromTheVariables) {
  const SchedulerSettings settings = settings_of({{"EMBEDDING_SCHEDULER_INTERVAL", " 60 "},
                                                  {"EMBEDDING_SCHEDULER_BATCH_SIZE", "20"},
                                                  {"EMBEDDING_SCHEDULER_BACKEND", "FLAT"},
                                                  {"EMBEDDING_SCHEDULER_DBS", "bot,,workflow,"}});
  EXPECT_EQ(settings.options.interval.count(), 60);
  EXPECT_EQ(settings.options.batch_size, 20U);
  EXPECT_EQ(settings.options.backend, Backend::kFlat);
  EXPECT_THAT(settings.dbs, ElementsAre("bot", "workflow"));
  EXPECT_THAT(settings.notes, ElementsAre(HasSubstr("empty names")));
  EXPECT_FALSE(settings_of({{"EMBEDDING_SCHEDULER_INTERVAL", "0"}}).enabled);
  EXPECT_TRUE(settings_of({{"EMBEDDING_SCHEDULER_INTERVAL", ""}}).enabled);
  EXPECT_THAT(settings_of({{"EMBEDDING_SCHEDULER_INTERVALL", "5"}}).notes,
              ElementsAre(HasSubstr("did you mean EMBEDDING_SCHEDULER_INTERVAL?")));
}

TEST(SchedulerSettings, NonsenseIsRefusedByNameAndValue) {
  for (const std::string value : {"-1", "abc", "86400s", "1d", "1e400", "NaN", "inf", "0.001",
                                  "1e3", "99999999999", "+5", "60\n60", "٣"}) {
    const std::string message = message_of<InvalidArgument>([&] {
      settings_of({{"EMBEDDING_SCHEDULER_INTERVAL", value}});
    });
    EXPECT_THAT(message, HasSubstr("EMBEDDING_SCHEDULER_INTERVAL is \"")) << value;
  }
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"BATCH_SIZE", "0"},
                                                        {"BATCH_SIZE", "٣"},
                                                        {"BATCH_SIZE", "10001"},
                                                        {"BATCH_SIZE", "-5"},
                                                        {"BACKEND", "anoy"},
                                                        {"BACKEND", "annoy,faiss"},
                                                        {"DBS", "*"},
                                                        {"DBS", ","},
                                                        {"JITTER", "0.6"}}) {
    EXPECT_THROW(settings_of({{"EMBEDDING_SCHEDULER_" + name, value}}), InvalidArgument)
        << name << " " << value;
  }
}

TEST_F(Scheduler, StoresAreNamedAsInTheSeed) {
  const std::vector stores = {store("bot"), store("information")};
  EXPECT_THAT(chosen_stores(stores, {}), SizeIs(2));
  for (const std::string name : {"bot", "Bots", "BotDB", "BOT"})
    EXPECT_THAT(chosen_stores(stores, {name}), SizeIs(1)) << name;
  EXPECT_EQ(chosen_stores(stores, {"info"}).front().name, "information");
  EXPECT_THAT(message_of<InvalidArgument>([&] { chosen_stores(stores, {"nosuch"}); }),
              HasSubstr("EMBEDDING_SCHEDULER_DBS"));
}

TEST_F(Scheduler, BootstrapStartsItWhenTheIntervalIsPositive) {
  BootstrapParts parts;
  parts.sources = [this] { return std::vector{store("note")}; };
  EXPECT_EQ(bootstrap(Environment{{{"EMBEDDING_SCHEDULER_INTERVAL", "0"}}}, parts).scheduler(),
            nullptr);
  parts.metrics = &metrics_;
  monotonic_.most_waits = 0;
  parts.monotonic = &monotonic_;
  Runtime runtime = bootstrap(Environment{}, parts);
  ASSERT_NE(runtime.scheduler(), nullptr);
  runtime.stop();
  EXPECT_THROW(bootstrap(Environment{{{"EMBEDDING_SCHEDULER_DBS", "nosuch"}}}, parts),
               InvalidArgument);
}

}  // namespace
}  // namespace nearlite
