#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_store.h"
#include "nearlite/service/embedding_backfill.h"
#include "nearlite/service/retriever.h"
#include "nearlite/store/metrics_db.h"

namespace nearlite::vector_service {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class FixedClock : public Clock {
 public:
  std::chrono::system_clock::time_point now() const override {
    return parse_rfc3339("2026-11-20T12:00:00Z");
  }
};

class KeptLog : public LogSink {
 public:
  void write(const LogRecord& record) noexcept override { messages.push_back(record.message); }
  std::vector<std::string> messages;
};

class LaterClock : public Clock {
 public:
  std::chrono::system_clock::time_point now() const override {
    return parse_rfc3339("2026-11-20T12:00:00Z") + std::chrono::hours(hours);
  }
  int hours = 0;
};

class OneNote : public EmbeddableDBMixin {
 public:
  using EmbeddableDBMixin::EmbeddableDBMixin;
  RecordCursor iter_records() const override { return query("SELECT 1, 'one river' AS body"); }
};

class KeptMetrics : public MetricsSink {
 public:
  void add(std::string_view, MetricLabels, double) noexcept override {}
  void set(std::string_view gauge, MetricLabels, double value) noexcept override {
    if (gauge == "embedding_stale_cost_seconds") last = value;
  }
  void observe(std::string_view, MetricLabels, double) noexcept override {}
  double last = -1;
};

class RefusingStatistics : public StatisticsSink {
 public:
  void record(const std::filesystem::path& /*file*/,
              const BackfillStatistics& /*statistics*/) override {
    throw Unavailable("disk full");
  }
};

class Service : public testing::Test {
 protected:
  StoreSource source(const std::string& name, std::vector<std::string> bodies) {
    std::vector<std::pair<std::string, std::string>> notes;
    for (std::string& body : bodies) notes.emplace_back(std::move(body), "me");
    return {name, name + "DB", folder_.path() / "metrics.db",
            [this, name, notes](std::optional<Backend> backend) {
              backend_ = backend;
              return std::make_unique<NoteStore>(folder_.path(), name, encoder_, notes);
            }};
  }
  static StoreSource broken(const std::string& name) {
    return {name, name + "DB", {}, [](std::optional<Backend>) -> std::unique_ptr<Store> {
              throw Unavailable("it is locked");
            }};
  }

  TemporaryFolder folder_;
  std::shared_ptr<WordEncoder> encoder_ = std::make_shared<WordEncoder>();
  FixedClock clock_;
  KeptLog log_;
  MetricsFileSink statistics_;
  std::optional<Backend> backend_;
};

TEST_F(Service, BackfillGoesOnWhenAStoreFails) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  const std::vector stores = {broken("bad"), source("good", {"one", "two"})};
  const auto done = backfill.run(stores, {});
  ASSERT_THAT(done, SizeIs(2));
  EXPECT_EQ(done[0].failure.value().message, "it is locked");
  EXPECT_EQ(done[0].failure.value().exit_code, 4);
  EXPECT_EQ(done[1].result.value().embedded, 2U);
}

TEST_F(Service, BackfillTellsHowItGoesOn) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  const std::vector stores = {source("a", {"one"}), broken("b")};
  std::vector<std::string> told;
  BackfillObserver observer;
  observer.begin = [&](const StoreSource& store, std::size_t number, std::size_t count) {
    told.push_back(std::to_string(number) + "/" + std::to_string(count) + " " + store.class_name);
  };
  observer.end = [&](const StoreBackfill& store) {
    told.push_back(store.store + (store.failure ? " failed" : " done"));
  };
  backfill.run(stores, {}, observer);
  EXPECT_THAT(told, ElementsAre("1/2 aDB", "a done", "2/2 bDB", "b failed"));
}

TEST_F(Service, BackfillWritesItsStatistics) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  const std::vector stores = {source("a", {"one", "two"})};
  BackfillRequest request;
  request.session_id = "nightly";
  backfill.run(stores, request);
  const auto runs = MetricsDb::open_existing(folder_.path() / "metrics.db").runs("a");
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_EQ(runs[0].session_id, "nightly");
  EXPECT_EQ(runs[0].embedded, 2);
  EXPECT_EQ(runs[0].started_at, "2026-11-20T12:00:00.000Z");
}

TEST_F(Service, EachRecordOfABackfillHasItsRowInEmbeddingStats) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  StoreSource notes = source("a", {"one", "two words more", ""});
  const std::shared_ptr<Store> opened = notes.open(std::nullopt);  // which would add them again
  notes.open = [opened](std::optional<Backend>) { return opened; };
  const std::vector stores = {notes};
  const auto done = backfill.run(stores, {});
  backfill.run(stores, {});  // nothing new
  const auto stats = MetricsDb::open_existing(folder_.path() / "metrics.db").stats("aDB");
  ASSERT_THAT(stats, SizeIs(3));
  EXPECT_EQ(stats[0].tokens + stats[1].tokens,
            static_cast<std::int64_t>(done[0].result.value().tokens));
  EXPECT_GT(stats[0].store_ms, 0);
  EXPECT_EQ(stats[1].db_source, "a");
  EXPECT_EQ(stats[2].tokens, 0);
  EXPECT_EQ(stats[2].wall_ms, 0);
  EXPECT_EQ(stats[2].store_ms, 0);
}

TEST_F(Service, WhatAnAddCostsAndHowOldHitsAreIsCollectedAndWrittenAtOnce) {
  KeptMetrics metrics;
  const auto file = folder_.path() / "metrics.db";
  LaterClock later;
  EmbeddableOptions options;
  options.index_path = folder_.path() / "a.index";
  options.encoder = encoder_;
  options.clock = &later;
  tell_statistics(options, "aDB", file, statistics_, metrics);
  Connection db = Connection::open(folder_.path() / "h.db", true);
  OneNote notes(db.handle(), options);
  notes.add_embedding(1, notes.iter_records().find(1)->record, "note");
  later.hours = 2;
  notes.search("river", 1);
  notes.get_vector(1);
  EXPECT_FALSE(std::filesystem::exists(file));
  statistics_.flush();
  EXPECT_THAT(MetricsDb::open_existing(file).stats("aDB"), SizeIs(1));
  EXPECT_EQ(metrics.last, 7200);
  Connection written = Connection::open(file, false);
  Statement row = written.prepare(
      "SELECT count(*), max(stale_seconds) FROM embedding_staleness WHERE "
      "origin_db = 'a' AND record_id = '1'");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.int64(0), 2);
  EXPECT_EQ(row.real(1), 7200);
}

TEST_F(Service, BackfillIsDoneEvenIfItsStatisticsCannotBeWritten) {
  RefusingStatistics refusing;
  EmbeddingBackfill backfill(clock_, refusing, log_);
  const std::vector stores = {source("a", {"one"})};
  const auto done = backfill.run(stores, {});
  EXPECT_EQ(done.at(0).result.value().embedded, 1U);
  EXPECT_THAT(done.at(0).warning, HasSubstr("disk full"));
}

TEST_F(Service, DryRunLeavesNothingBehind) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  const std::vector stores = {source("a", {"one"})};
  BackfillRequest request;
  request.options.dry_run = true;
  EXPECT_EQ(backfill.run(stores, request).at(0).result.value().embedded, 1U);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "metrics.db"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "a.sqlite"));
}

TEST_F(Service, BackfillBeginsNoStoreOnceItWasStopped) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  const std::vector stores = {source("a", {"one"})};
  std::stop_source stop;
  stop.request_stop();
  BackfillRequest request;
  request.options.stop = stop.get_token();
  EXPECT_THAT(backfill.run(stores, request), SizeIs(0));
}

TEST_F(Service, BackfillOpensStoresWithTheBackendAskedFor) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  const std::vector stores = {source("a", {"one"})};
  BackfillRequest request;
  request.backend = Backend::kAnnoy;
  backfill.run(stores, request);
  EXPECT_EQ(backend_, Backend::kAnnoy);
}

TEST_F(Service, RecordsThatFailAreSkippedAndLogged) {
  EmbeddingBackfill backfill(clock_, statistics_, log_);
  const std::vector stores = {source("a", {"one", "unreadable"})};
  const auto done = backfill.run(stores, {});
  EXPECT_EQ(done.at(0).result.value().embedded, 1U);
  ASSERT_THAT(done.at(0).result.value().skipped_records, SizeIs(1));
  EXPECT_THAT(done.at(0).result.value().skipped_records[0].reason,
              HasSubstr("cannot be read today"));
  EXPECT_THAT(log_.messages, Contains("record skipped"));
}

TEST_F(Service, RetrieverLogsStartAndEndOfASearch) {
  const std::shared_ptr<Store> store = source("a", {"one"}).open(std::nullopt);
  store->backfill_embeddings();
  Retriever retriever({store}, clock_, log_);
  EXPECT_THAT(retriever.search("one").items, SizeIs(1));
  EXPECT_THAT(log_.messages, ElementsAre("Retriever.search start", "Retriever.search end"));
}

TEST_F(Service, FiguresOfARunAndOfASearchAreKeptByStore) {
  PrometheusMetrics metrics("1");
  const std::vector stores = {
      source("a", {"one", "two", std::string("AKIA") + "IOSFODNN7EXAMPLE"})};
  EmbeddingBackfill(clock_, statistics_, log_, metrics).run(stores, {});
  std::string text = metrics.exposition();
  EXPECT_THAT(text, HasSubstr("embedding_governance_decisions_total{decision=\"allow\",rule=\"\","
                              "store=\"a\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("embedding_governance_decisions_total{decision=\"block\","
                              "rule=\"aws-access-key\",store=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("embedding_records{state=\"fresh\",store=\"a\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("embedding_backfill_duration_seconds_count{store=\"a\"} 1\n"));
  const Retriever retriever({stores[0].open(std::nullopt)}, clock_, log_, metrics);
  retriever.search("one");
  retriever.search("one", {.mode = SearchMode::kKeyword});
  text = metrics.exposition();
  EXPECT_THAT(text, HasSubstr("embedding_index_recall_ratio{store=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("embedding_search_duration_seconds_count{path=\"exact\",store=\"a\"} "
                              "1\n"));
  EXPECT_THAT(text, HasSubstr("embedding_search_duration_seconds_count{path=\"keyword\","
                              "store=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("nearlite_metrics_errors_total 0\n"));
}

TEST_F(Service, RetrieverLogsAnError) {
  Retriever retriever({}, clock_, log_);
  EXPECT_THROW(retriever.search(" "), InvalidArgument);
  EXPECT_THAT(log_.messages, ElementsAre("Retriever.search start", "Retriever.search error"));
}

TEST(LogLevel, IsReadByName) {
  EXPECT_EQ(log_level_of("Warning"), LogLevel::kWarning);
  EXPECT_THROW(log_level_of("loud"), InvalidArgument);
}

}  // namespace
}  // namespace nearlite::vector_service
