#include "nearlite/service/embedding_freshness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_store.h"

namespace nearlite::vector_service {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

/// Waits do not take time; what happens during each is given.
class ScriptedClock : public MonotonicClock {
 public:
  time_point now() const override { return now_; }
  bool wait_until(time_point time, const std::stop_token& stop) const override {
    waits.push_back(time - now_);
    now_ = time;
    during();
    return !stop.stop_requested();
  }
  std::function<void()> during;
  mutable std::vector<std::chrono::steady_clock::duration> waits;

 private:
  mutable time_point now_{1000h};
};

class Fresh : public testing::Test {
 protected:
  StoreSource store(const std::string& name) {
    const NoteStore made(folder_.path(), name, encoder_, {{"a note", "me"}});
    return {name, name + "DB", folder_.path() / "metrics.db",
            [this, name](std::optional<Backend>) -> std::unique_ptr<Store> {
              if (name == broken_) throw Unavailable("it is locked");
              return std::make_unique<NoteStore>(
                  folder_.path(), name, encoder_,
                  std::vector<std::pair<std::string, std::string>>{});
            }};
  }
  void execute(const std::string& name, const std::string& sql) {
    Connection::open(folder_.path() / (name + ".db"), false).execute(sql);
  }

  TemporaryFolder folder_;
  std::shared_ptr<WordEncoder> encoder_ = std::make_shared<WordEncoder>();
  MetricsFileSink statistics_;
  PrometheusMetrics metrics_{"1"};
  EmbeddingBackfill backfill_{system_clock(), statistics_, null_log_sink(), metrics_};
  EmbeddingFreshness freshness_{backfill_, null_log_sink(), metrics_};
  std::string broken_;
};

TEST_F(Fresh, SaysWhyAStoreIsBehindItsRows) {
  const StoreSource notes = store("notes");
  EXPECT_EQ(EmbeddingFreshness::reason_of(notes), "embedding metadata missing");
  freshness_.ensure_embeddings_fresh(std::vector{notes});
  EXPECT_EQ(EmbeddingFreshness::reason_of(notes), std::nullopt);
  execute("notes", "INSERT INTO note(body) VALUES ('another')");
  EXPECT_EQ(EmbeddingFreshness::reason_of(notes), "record/vector count mismatch 2/1");
  freshness_.ensure_embeddings_fresh(std::vector{notes});
  execute("notes", "UPDATE note SET body = 'changed' WHERE id = 1");
  EXPECT_EQ(EmbeddingFreshness::reason_of(notes), "record requires refresh");
  broken_ = "notes";
  EXPECT_EQ(EmbeddingFreshness::reason_of(notes), "import failed: it is locked");
}

TEST_F(Fresh, BackfillsOnlyWhatIsOutOfSync) {
  const std::vector<StoreSource> stores = {store("a"), store("b")};
  EXPECT_THAT(freshness_.check_out_of_sync(stores), ElementsAre("aDB", "bDB"));
  EXPECT_THAT(freshness_.check_out_of_sync(stores), IsEmpty());
  execute("b", "DELETE FROM note");
  EXPECT_THAT(freshness_.check_out_of_sync(stores), ElementsAre("bDB"));
  EXPECT_THAT(EmbeddingFreshness::stale(stores), IsEmpty());
  EXPECT_THAT(metrics_.exposition(), HasSubstr(R"(trigger="auto"} 2)"));
}

TEST_F(Fresh, NamesTheStoresThatABackfillDidNotMend) {
  const std::vector<StoreSource> stores = {store("a"), store("b")};
  broken_ = "b";
  try {
    freshness_.ensure_embeddings_fresh(stores);
    FAIL() << "b cannot be opened";
  } catch (const StaleEmbeddingsError& error) {
    EXPECT_THAT(error.stale_dbs(), ElementsAre(Pair("b", "import failed: it is locked")));
    EXPECT_THAT(error.what(), HasSubstr("b: import failed"));
  }
}

TEST_F(Fresh, RefreshesWhatIsMoreThanALittleStale) {
  const std::vector<StoreSource> stores = {store("a"), store("b")};
  backfill_.run(stores, {});
  execute("a", "UPDATE note SET body = 'changed'");
  EXPECT_THAT(freshness_.check_staleness(stores), IsEmpty());  // one of ten that are tolerated
  EXPECT_THAT(freshness_.check_staleness(stores, 0), ElementsAre("aDB"));
  EXPECT_THAT(EmbeddingFreshness::stale(stores), IsEmpty());
  EXPECT_THAT(metrics_.exposition(), HasSubstr(R"(trigger="stale"} 1)"));
}

TEST_F(Fresh, RebuildsWhatIsDamaged) {
  const std::vector<StoreSource> stores = {store("a")};
  backfill_.run(stores, {});
  const auto index = folder_.path() / "a.index";
  const auto size = std::filesystem::file_size(index);
  std::filesystem::resize_file(index, size / 2);
  const auto done = freshness_.rebuild_all(stores, true);
  EXPECT_EQ(done.at(0).result->unchanged, 1U);  // no vector was made again
  EXPECT_EQ(std::filesystem::file_size(index), size);
  broken_ = "a";
  EXPECT_TRUE(freshness_.rebuild_all(stores, true).at(0).failure);
}

TEST_F(Fresh, StoresAreBackfilledSideBySide) {
  std::vector<StoreSource> stores;
  for (const char* name : {"a", "b", "c", "d"}) stores.push_back(store(name));
  broken_ = "c";
  const auto done = backfill_.schedule_backfill(stores, {}, 3).get();
  ASSERT_EQ(done.size(), 4U);
  for (std::size_t i = 0; i < done.size(); ++i) EXPECT_EQ(done[i].store, stores[i].name);
  EXPECT_TRUE(done[2].failure);
  EXPECT_EQ(done[3].result->embedded, 1U);
  EXPECT_THROW(backfill_.schedule_backfill(stores, {}, 0), InvalidArgument);
}

TEST_F(Fresh, WatchesUntilItIsStopped) {
  const std::vector<StoreSource> stores = {store("a"), store("b")};
  ScriptedClock clock;
  std::stop_source stop;
  clock.during = [&] {
    if (clock.waits.size() == 1) execute("a", "INSERT INTO note(body) VALUES ('new')");
    if (clock.waits.size() == 2) broken_ = "b";
    if (clock.waits.size() == 3) stop.request_stop();
  };
  EXPECT_EQ(freshness_.watch([&] { return stores; }, 60s, clock, stop.get_token()), 3U);
  EXPECT_THAT(clock.waits, ElementsAre(60s, 60s, 60s));
  EXPECT_THAT(metrics_.exposition(),
              HasSubstr(R"(embedding_watcher_processed_total{watcher="db"} 3)"));
}

}  // namespace
}  // namespace nearlite::vector_service
