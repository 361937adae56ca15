#include "nearlite/retrieval/search_stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "confidence.h"
#include "fake_store.h"
#include "fusion.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Not;
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

/// What users paste: syntax of FTS5 and of SQL, quotes that do not close, scripts, control
/// characters, words without an end.
std::string odd_question(std::mt19937& random) {
  using namespace std::string_literals;
  static const std::vector<std::string> kPieces = {"\"",
                                                   "\"\"",
                                                   "'",
                                                   "''",
                                                   "-",
                                                   "--",
                                                   "-\"",
                                                   "*",
                                                   "(",
                                                   ")",
                                                   "^",
                                                   ":",
                                                   "+",
                                                   "~",
                                                   "NEAR(",
                                                   "NEAR/3",
                                                   "AND",
                                                   "OR",
                                                   "NOT",
                                                   "disk",
                                                   "disk*",
                                                   "{a b}",
                                                   "{",
                                                   "}",
                                                   "\\",
                                                   ";",
                                                   "%",
                                                   "_",
                                                   "title:",
                                                   "- title:",
                                                   "\"disk full",
                                                   "-disk",
                                                   "-\"a b\"",
                                                   "e\u0301",
                                                   "\u0301",
                                                   "\U0001f600",
                                                   "-\U0001f600",
                                                   "E_1",
                                                   "\u4e2d\u6587",
                                                   "-\u4e2d\u6587",
                                                   "\ud55c\uad6d",
                                                   "[",
                                                   "]",
                                                   "?1",
                                                   "$x",
                                                   "@y",
                                                   "\t",
                                                   "\n",
                                                   "a-b",
                                                   "\0"s,
                                                   "a\0b"s,
                                                   "-a\0b"s,
                                                   "\"a\0b\""s,
                                                   "E_\0"s,
                                                   "\x01",
                                                   "\x7f",
                                                   "\u200b",
                                                   "\ufeff",
                                                   "\u201cdisk full\u201d",
                                                   "-\u201cx\u201d",
                                                   std::string(300, 'x'),
                                                   "-" + std::string(300, 'y'),
                                                   "1e999",
                                                   "0x",
                                                   "::",
                                                   "a::b",
                                                   "a.b.c",
                                                   "NULL",
                                                   "rowid",
                                                   "rank"};
  std::string question;
  for (std::size_t count = 1 + random() % 7; count > 0; --count) {
    question += kPieces[random() % kPieces.size()];
    if (random() % 2 == 0) question += ' ';
  }
  return question;
}

TEST_F(SearchStores, OddQuestionsAreNeverAnErrorOfSql) {
  add_embedded("notes", {"disk full", "lunch", "\u4e2d\u6587 E_1", "a::b \U0001f600"});
  std::mt19937 random(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same questions every time
  std::size_t answered = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string question = odd_question(random);
    const auto mode = i % 2 == 0 ? SearchMode::kKeyword : SearchMode::kHybrid;
    try {
      const RetrievalResult result = search(question, {.mode = mode});
      ASSERT_THAT(result.failures, IsEmpty()) << question << ": " << result.failures[0].message;
      ++answered;
    } catch (const InvalidArgument&) {
      continue;  // blank, or it only leaves out words: said in one line
    }
  }
  EXPECT_GT(answered, 2000U);
}

TEST_F(SearchStores, AQuestionOfAMegabyteIsAnswered) {
  add_embedded("notes", {"disk full", "lunch"});
  std::string question;
  for (int i = 0; question.size() < 1'000'000; ++i) question += "word" + std::to_string(i) + " ";
  for (const std::string& end : {std::string("disk"), std::string("-lunch disk"),
                                 "\"" + std::string(100'000, 'q') + "\" disk"}) {
    const RetrievalResult result = search(end + " " + question + end);
    EXPECT_THAT(result.failures, IsEmpty());
    EXPECT_THAT(result.hits, Not(IsEmpty()));
  }
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
  EXPECT_THAT(hit.signals, ElementsAre(Key("keyword"), Key("similarity")));
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

TEST_F(SearchStores, HybridIsTheEvenMeanOfSimilarityAndShareOfKeywords) {
  add_embedded("a", {"disk full", "disk", "lamp"});
  const RetrievalResult hybrid = search("disk");
  const RetrievalResult vector = search("disk", {.mode = SearchMode::kVector});
  const RetrievalResult keyword = search("disk", {.mode = SearchMode::kKeyword});
  ASSERT_THAT(hybrid.hits, SizeIs(3));  // as many as there are, also those without the word
  ASSERT_THAT(keyword.hits, SizeIs(2));
  EXPECT_EQ(hybrid.hits[0].key, RecordKey(2));
  // BM25 of a passage of one word where the average is 4/3 words: f = 1, and the length part is
  // 1.2 * (0.25 + 0.75 * 1 / (4/3)) = 0.975; as a share of the greatest: 1 / (1 + 0.975).
  EXPECT_NEAR(keyword.hits[0].score, 1 / 1.975, 1e-9);
  EXPECT_NEAR(hybrid.hits[0].score, (1.0 + 1 / 1.975) / 2, 1e-6);
  EXPECT_NEAR(hybrid.hits[1].score, (hybrid.hits[1].similarity + keyword.hits[1].score) / 2, 1e-6);
  EXPECT_EQ(vector.hits[0].score, vector.hits[0].similarity);
  EXPECT_GE(vector.stores[0].num_scored, vector.hits.size());
  EXPECT_EQ(hybrid.hits[2].signals.at("keyword"), 0);
}

TEST_F(SearchStores, KeywordsNeedNoModel) {
  add_embedded("a", {"the disk is full"});
  encoder_->num_questions = 0;
  const RetrievalResult result = search("disks", {.mode = SearchMode::kKeyword});
  EXPECT_EQ(encoder_->num_questions, 0U);
  ASSERT_THAT(result.hits, SizeIs(1));
  EXPECT_TRUE(std::isnan(result.hits[0].similarity));
  EXPECT_EQ(result.stores[0].path, "keyword");
  EXPECT_THAT(result.hits[0].reason, HasSubstr("matching words"));
}

TEST_F(SearchStores, WhatIsAskedForByNameComesFirstInAllStores) {
  add_embedded("a", {"error error error code", "see E0432"});
  add_embedded("b", {"an error code", "E0432 is long ago and far away and hard to see"});
  const RetrievalResult result = search("error code E0432");
  EXPECT_THAT(std::vector<std::string>({places(result)[0], places(result)[1]}),
              testing::UnorderedElementsAre("a 2", "b 2"));
  EXPECT_GE(result.hits[1].score, 0.9);
  EXPECT_LE(result.hits[2].score, 0.9);
  EXPECT_THAT(result.hits[0].reason, HasSubstr("exact match"));
}

TEST_F(SearchStores, LeavesOutWhatTheQuestionLeavesOut) {
  add_embedded("a", {"disk full", "disk full of lamps", "disk lamp"});
  for (const SearchMode mode : {SearchMode::kHybrid, SearchMode::kVector, SearchMode::kKeyword})
    EXPECT_THAT(places(search("disk -lamp", {.mode = mode})), ElementsAre("a 1"));
}

TEST_F(SearchStores, APhraseInQuotesIsFirstAndByWordsItHasToBeThere) {
  add_embedded("a", {"full disk full disk", "my disk full of things", "lamp"});
  EXPECT_EQ(places(search("\"disk full of\""))[0], "a 2");
  EXPECT_THAT(places(search("\"disk full of\"")), SizeIs(3));
  EXPECT_THAT(places(search("\"disk full of\"", {.mode = SearchMode::kKeyword})),
              ElementsAre("a 2"));
}

TEST_F(SearchStores, NoQuestionIsAnErrorOfSyntax) {
  add_embedded("a", {"disk full"});
  for (const char* question : {"\"", "a\"b", "x AND", "NEAR(", "col:x", "^", "*", "{a} -b -", "'",
                               "\"\" disk", "disk OR", "(", "+", "--"}) {
    EXPECT_TRUE(search(question).failures.empty()) << question;
  }
}

TEST_F(SearchStores, AStoreWithoutWordsIsSearchedByVectorAndSaysSo) {
  NoteStore& store = add_embedded("a", {"disk full"});
  Connection::open(folder_.path() / "a.sqlite", false)
      .execute("DELETE FROM fact WHERE name = 'keywords'");
  EXPECT_THAT(search("disk").hits, SizeIs(1));
  const RetrievalResult keyword = search("disk", {.mode = SearchMode::kKeyword});
  EXPECT_THAT(keyword.incomplete_reason, HasSubstr("next backfill"));
  const std::size_t before = encoder_->num_questions;
  store.backfill_embeddings();
  EXPECT_EQ(encoder_->num_questions, before);
  EXPECT_TRUE(search("disk", {.mode = SearchMode::kKeyword}).complete);
}

/// A store large enough to be calibrated.
std::vector<std::string> many_notes() {
  std::vector<std::string> bodies;
  for (int i = 0; i < 60; ++i) bodies.push_back("note number " + std::to_string(i));
  return bodies;
}

TEST_F(SearchStores, AConfidenceIsTheMapOfTheCosineAndTheBackground) {
  std::vector<std::string> bodies = many_notes();
  bodies.push_back("the disk is full");
  add_embedded("a", bodies);
  const RetrievalResult vector = search("disk is full", {.mode = SearchMode::kVector});
  ASSERT_TRUE(vector.stores[0].background);
  const double background = *vector.stores[0].background;
  EXPECT_LT(background, 0.1);
  const RetrievalHit& best = vector.hits[0];
  EXPECT_EQ(*best.level, best.similarity);
  EXPECT_EQ(*best.confidence, confidence_of(best.similarity, background));
  EXPECT_EQ(best.score, *best.confidence);
  EXPECT_EQ(vector.confidence_note, "");
  const RetrievalHit hybrid = search("disk is full").hits[0];
  EXPECT_EQ(*hybrid.confidence, confidence_of(*hybrid.level, background));
  double sum = 0;
  for (const SignalPart& part : hybrid.parts) sum += part.contribution;
  EXPECT_NEAR(sum, hybrid.score, 1e-9);
  // By hand: 1 / (1 + e^-(-3.48 + 6.06 * 0.6 - 4.43 * 0.1)) = 1 / (1 + e^0.287)
  EXPECT_NEAR(confidence_of(0.6, 0.1), 1 / (1 + std::exp(0.287)), 1e-12);
}

TEST(Levels, WhatWordsMoveUpTakesTheCosineOfItsPlace) {
  const std::vector<double> levels =
      levels_of(std::vector{0.3, 0.9, 0.5, 0.4, 0.35, 0.34, 0.33, 0.32, 0.31, 0.2, 0.1, 0.8});
  const std::vector<double> wanted = {0.9,  0.5,  0.4, 0.35, 0.34,     0.33,
                                      0.32, 0.31, 0.3, 0.2,  0.199999, 0.1};
  ASSERT_THAT(levels, SizeIs(wanted.size()));
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(levels[i], wanted[i], 1e-12) << i;
}

TEST_F(SearchStores, OfSeveralStoresTheGreatestBackgroundCounts) {
  std::vector<std::string> of_disks = many_notes();
  for (std::string& body : of_disks) body = "disk " + body;
  add_embedded("disks", of_disks);
  add_embedded("notes", many_notes());
  const RetrievalResult result = search("disk");
  const double greatest = *result.stores[0].background;
  EXPECT_GT(greatest, *result.stores[1].background);
  for (const RetrievalHit& hit : result.hits) {
    EXPECT_EQ(hit.store, "disks");
    EXPECT_EQ(*hit.confidence, confidence_of(*hit.level, greatest));
  }
}

TEST_F(SearchStores, AStoreTooSmallToBeCalibratedStandsInItsPlaceAndClaimsNothing) {
  add_embedded("large", many_notes());
  add_embedded("small", {"the disk is full", "lamp"});
  const RetrievalResult result = search("the disk is full");
  EXPECT_EQ(places(result)[0], "small 1");
  EXPECT_EQ(result.hits[0].confidence, std::nullopt);
  EXPECT_EQ(result.hits[0].score,
            confidence_of(*result.hits[0].level, *result.stores[0].background));
  EXPECT_EQ(result.hits[1].score, result.hits[1].confidence.value_or(result.hits[1].score));
  EXPECT_THAT(result.confidence_note, HasSubstr("calibrated"));
}

TEST_F(SearchStores, RowsLikeTheBestOnesGainByIt) {
  std::vector<std::string> bodies = many_notes();
  for (const char* body :
       {"disk full partition", "disk full partition now", "disk full partition yes",
        "partition cleanup guide", "lamp cleanup guide"})
    bodies.emplace_back(body);
  add_embedded("a", bodies);
  const RetrievalResult result = search("disk full", {.k = 20});
  const auto place = [&](std::int64_t key) {
    return std::ranges::find(result.hits, RecordKey(key), &RetrievalHit::key) - result.hits.begin();
  };
  ASSERT_LT(place(64), 20);
  EXPECT_LT(place(64), place(65));  // neither says a word of the question
  const auto& parts = result.hits[0].parts;
  EXPECT_TRUE(
      std::ranges::any_of(parts, [](const SignalPart& part) { return part.signal == "feedback"; }));
  for (const RetrievalHit& hit : search("disk full", {.mode = SearchMode::kVector}).hits)
    EXPECT_THAT(hit.parts, SizeIs(1));
}

TEST_F(SearchStores, NothingIsAnAnswerWhereNothingIsConfident) {
  add_embedded("a", many_notes());
  const RetrievalResult result = search("elephant", {.min_confidence = 0.5});
  EXPECT_THAT(result.hits, IsEmpty());
  EXPECT_TRUE(result.complete);
  EXPECT_THAT(result.left_out, ElementsAre(HasSubstr("below confidence 0.50")));
}

TEST_F(SearchStores, DistinctFoldsRowsThatSayTheSameAndStillGivesAsMany) {
  add_embedded("a", {"disk full", "disk full", "lamp", "disk full", "soup"});
  const RetrievalResult result = search("disk full", {.k = 3, .distinct = true});
  EXPECT_THAT(places(result), SizeIs(3));
  EXPECT_EQ(places(result)[0], "a 1");
  EXPECT_THAT(result.hits[0].folded, ElementsAre(RecordKey(2), RecordKey(4)));
}

TEST_F(SearchStores, SimilarRowsNeedNoModelAndLeaveTheRowItselfOut) {
  NoteStore& store = add_embedded("a", {"disk full", "disk is full", "lamp"});
  encoder_->num_questions = 0;
  const RetrievalResult result = similar_rows(store, RecordKey(1), {.k = 2});
  EXPECT_THAT(places(result), ElementsAre("a 2", "a 3"));
  EXPECT_EQ(encoder_->num_questions, 0U);
  EXPECT_EQ(stored_key(store, "2"), RecordKey(2));
  EXPECT_THROW(stored_key(store, "two"), NotFound);
  EXPECT_THROW(similar_rows(store, RecordKey(9), {}), NotFound);
}

}  // namespace
}  // namespace nearlite
