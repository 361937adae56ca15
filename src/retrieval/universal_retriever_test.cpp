#include "nearlite/retrieval/universal_retriever.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <semaphore>

#include "fake_store.h"
#include "nearlite/retrieval/database_router.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

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

  TemporaryFolder folder_;
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

}  // namespace
}  // namespace nearlite
