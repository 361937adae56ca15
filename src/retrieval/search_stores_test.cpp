#include "nearlite/retrieval/search_stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_store.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Pair;
using testing::SizeIs;

class SearchStores : public testing::Test {
 protected:
  NoteStore& add_store(const std::string& name, std::vector<std::string> bodies,
                       std::shared_ptr<const TextEncoder> encoder = nullptr) {
    std::vector<std::pair<std::string, std::string>> notes;
    for (std::string& body : bodies) notes.emplace_back(std::move(body), "author of " + name);
    stores_.push_back(
        std::make_unique<NoteStore>(folder_.path(), name, encoder ? encoder : encoder_, notes));
    pointers_.push_back(stores_.back().get());
    return *stores_.back();
  }
  NoteStore& add_embedded(const std::string& name, std::vector<std::string> bodies) {
    NoteStore& store = add_store(name, std::move(bodies));
    store.backfill_embeddings();
    return store;
  }
  RetrievalResult search(const std::string& question, const RetrievalOptions& options = {}) {
    return search_stores(pointers_, question, options);
  }

  static std::vector<std::string> places(const RetrievalResult& result) {
    std::vector<std::string> places;
    for (const RetrievalHit& hit : result.hits)
      places.push_back(hit.store + " " + hit.key.display());
    return places;
  }

  TemporaryFolder folder_;
  std::shared_ptr<WordEncoder> encoder_ = std::make_shared<WordEncoder>();
  std::vector<std::unique_ptr<NoteStore>> stores_;
  std::vector<Store*> pointers_;
};

TEST_F(SearchStores, MergesTheAnswersIntoOneListBestFirst) {
  add_embedded("bugs", {"upload failed", "window too small"});
  add_embedded("notes", {"the upload failed with many other words around it", "lunch"});
  const RetrievalResult result = search("upload failed", {.k = 2});
  EXPECT_THAT(places(result), ElementsAre("bugs 1", "notes 1"));
  EXPECT_EQ(result.hits[0].rank, 1U);
  EXPECT_GT(result.hits[0].score, result.hits[1].score);
  EXPECT_NEAR(result.hits[0].similarity, 1.0, 0.01);
  EXPECT_TRUE(result.complete) << result.incomplete_reason;
  EXPECT_THAT(result.stores, SizeIs(2));
}

TEST_F(SearchStores, OrdersEqualHitsByStoreThenKey) {
  add_embedded("b", {"same words", "same words"});
  add_embedded("a", {"same words"});
  EXPECT_THAT(places(search("same words")), ElementsAre("a 1", "b 1", "b 2"));
}

TEST_F(SearchStores, EncodesTheQuestionOncePerModel) {
  add_embedded("a", {"one"});
  add_embedded("b", {"two"});
  search("one two");
  EXPECT_EQ(encoder_->num_questions, 1U);
}

TEST_F(SearchStores, SaysWhyAHitWasFound) {
  add_embedded("a", {"the disk is full"});
  const RetrievalHit hit = search("the disk is full").hits.at(0);
  EXPECT_EQ(hit.reason, "high vector similarity (similarity=1.00)");
  EXPECT_THAT(hit.signals, ElementsAre(Key("similarity")));
  EXPECT_EQ(hit.snippet, "the disk is full");
  EXPECT_EQ(hit.confidence, std::nullopt);
}

TEST_F(SearchStores, ShowsTheColumnsOfTheStoreAndTheOnesAskedFor) {
  add_embedded("a", {"text"});
  EXPECT_THAT(search("text").hits.at(0).fields, ElementsAre(Key("id"), Key("body")));
  const RetrievalResult result = search("text", {.fields = {"author", "body"}});
  ASSERT_TRUE(result.failures.empty()) << result.failures[0].message;
  EXPECT_THAT(
      result.hits.at(0).fields,
      ElementsAre(Key("id"), Key("body"), Pair("author", Value(std::string("author of a")))));
}

TEST_F(SearchStores, RefusesAColumnThatNoStoreHas) {
  add_embedded("a", {"text"});
  const RetrievalResult result = search("text", {.fields = {"colour"}});
  ASSERT_THAT(result.failures, SizeIs(1));
  EXPECT_EQ(result.failures[0].type, "NotFound");
  EXPECT_THAT(result.failures[0].message, HasSubstr("colour"));
}

TEST_F(SearchStores, FiltersRowsByACondition) {
  add_embedded("a", {"word one", "word two"});
  EXPECT_THAT(places(search("word one", {.where = "id > 1"})), ElementsAre("a 2"));
}

TEST_F(SearchStores, NamesAStoreThatFailsAndAnswersFromTheOthers) {
  add_embedded("good", {"upload failed"});
  add_store("without_model", {"upload failed"}, std::make_shared<WordEncoder>("gone", true));
  const RetrievalResult result = search("upload failed");
  EXPECT_THAT(places(result), ElementsAre("good 1"));
  ASSERT_THAT(result.failures, SizeIs(1));
  EXPECT_EQ(result.failures[0].store, "without_model");
  EXPECT_EQ(result.failures[0].exit_code, 3);
  EXPECT_FALSE(result.complete);
  EXPECT_THAT(result.incomplete_reason, HasSubstr("without_model"));
}

TEST_F(SearchStores, GivesNoGuessOfAConfidence) {
  add_embedded("a", {"text"});
  EXPECT_THAT(search("text").confidence_note, HasSubstr("calibrated"));
}

TEST_F(SearchStores, RefusesBlankAndInvalidQuestions) {
  EXPECT_THROW(search(" \n\t"), InvalidArgument);
  EXPECT_THROW(search("caf\xe9"), InvalidArgument);
  EXPECT_THROW(search("x", {.k = 0}), InvalidArgument);
}

TEST_F(SearchStores, AnswersNothingFromNoStores) { EXPECT_THAT(search("text").hits, IsEmpty()); }

}  // namespace
}  // namespace nearlite
