// What may answer a question, by vector and by words, before and after the rows are read.
#include "nearlite/embeddable/candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "nearlite/store/sidecar.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Candidates : public NotesTest {
 protected:
  NoteDB& filled(const std::vector<std::string>& bodies) {
    std::int64_t id = 0;
    for (const std::string& body : bodies) note(++id, body);
    notes_ = std::make_unique<NoteDB>(db_.handle(), options());
    notes_->backfill_embeddings();
    return *notes_;
  }
  static std::vector<std::string> keys(const CandidateResult& result) {
    std::vector<std::string> keys;
    for (const Candidate& candidate : result.candidates) keys.push_back(candidate.key.display());
    return keys;
  }

  std::unique_ptr<NoteDB> notes_;
};

TEST_F(Candidates, ComeByVectorAndByWordsWithTheFiguresOfBoth) {
  NoteDB& db = filled({"disk full", "lamp", "disk"});
  const auto vector = db.encode_text("disk full");
  const CandidateResult both = db.find_candidates({.vector = vector, .words = "\"disk\""});
  EXPECT_THAT(both.candidates, SizeIs(3));
  EXPECT_TRUE(both.exhausted);
  EXPECT_TRUE(both.has_keywords);
  EXPECT_EQ(both.candidates[0].key, RecordKey(1));
  EXPECT_NEAR(*both.candidates[0].similarity, 1.0F, 1e-5F);
  EXPECT_EQ(both.candidates[0].vector_rank, 1U);
  EXPECT_EQ(both.candidates[0].keyword_rank, 2U);  // "disk" alone is the shorter text
  EXPECT_GT(both.candidates[0].keyword, 0);
  EXPECT_LT(both.candidates[0].keyword, both.greatest_keyword);
  EXPECT_THAT(keys(db.find_candidates({.words = "\"disk\""})), ElementsAre("3", "1"));
}

TEST_F(Candidates, AreAsManyAsWereAskedForAtEverySelectivityOfAFilter) {
  constexpr std::int64_t kRows = 300;
  std::vector<std::string> bodies;
  for (std::int64_t i = 0; i < kRows; ++i) bodies.push_back("disk number " + std::to_string(i));
  NoteDB& db = filled(bodies);
  const auto vector = db.encode_text("disk");
  for (const std::int64_t every : {1, 2, 7, 50, 299, 1000}) {
    const auto passes = [&](const RecordKey& key) {
      return std::get<std::int64_t>(key.values()[0]) % every == 0;
    };
    const auto passing = static_cast<std::size_t>(kRows / every);
    for (const bool by_words : {false, true}) {
      for (const bool by_vector : {false, true}) {
        if (!by_words && !by_vector) continue;
        CandidateQuery query{.depth = 10, .filter = passes};
        if (by_words) query.words = "\"disk\"";
        if (by_vector) query.vector = vector;
        const CandidateResult found = db.find_candidates(query);
        EXPECT_GE(found.candidates.size(), std::min<std::size_t>(10, passing)) << every;
        if (passing < 10) {
          EXPECT_EQ(found.candidates.size(), passing) << every;
        }
        for (const Candidate& candidate : found.candidates) EXPECT_TRUE(passes(candidate.key));
        EXPECT_EQ(db.read_candidates(found.candidates, 10).size(),
                  std::min<std::size_t>(10, passing));
      }
    }
  }
}

TEST_F(Candidates, OfSomeKindsOrAgesOnly) {
  NoteDB& db = filled({"disk full", "lamp", "disk"});
  const auto vector = db.encode_text("disk");
  const auto count = [&](const CandidateQuery& query) {
    return db.find_candidates(query).candidates.size();
  };
  EXPECT_EQ(count({.vector = vector, .kinds = {"other", "note"}}), 3U);
  EXPECT_EQ(count({.vector = vector, .words = "\"disk\"", .kinds = {"other"}}), 0U);
  EXPECT_EQ(count({.vector = vector, .since = 1}), 3U);
  EXPECT_EQ(count({.vector = vector, .since = std::int64_t{1} << 40}), 0U);
  EXPECT_EQ(count({.words = "\"disk\"", .kinds = {"note"}, .since = 1}), 2U);
}

TEST_F(Candidates, ManyAskAtOnceWhileOthersAreWritten) {
  NoteDB& db = filled({"disk full", "lamp", "disk"});
  const auto vector = db.encode_text("disk");
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 6; ++i) {
      callers.emplace_back([&] {
        for (int round = 0; round < 40; ++round) {
          const auto found = db.find_candidates({.vector = vector, .words = "\"disk\""});
          const bool is_whole =
              found.candidates.size() >= 3 && found.candidates[0].key == RecordKey(3);
          if (!is_whole) ++wrong;
        }
      });
    }
    for (std::int64_t id = 100; id < 140; ++id) {
      db.add_embedding(id, Record({{"body", std::string("lamp and table")}}), "note");
      if (id % 2 == 0) db.remove_embedding(id);
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(Candidates, ThatOnlyWordsFoundAreComparedAllTheSame) {
  std::vector<std::string> bodies(40, "near near near");
  bodies.push_back("far away with a word");
  NoteDB& db = filled(bodies);
  const auto vector = db.encode_text("near");
  const CandidateResult result =
      db.find_candidates({.vector = vector, .words = "\"word\"", .depth = 2});
  EXPECT_FALSE(result.exhausted);
  const Candidate& last = result.candidates.back();
  EXPECT_EQ(last.key, RecordKey(41));
  EXPECT_EQ(last.vector_rank, 0U);
  const auto stored = db.get_vector(RecordKey(41));
  float cosine = 0;
  for (std::size_t i = 0; i < vector.size(); ++i) cosine += vector[i] * stored->at(i);
  EXPECT_NEAR(*last.similarity, cosine, 1e-5F);
}

TEST_F(Candidates, AreOnePerRecordWithItsBestPassage) {
  encoder_ = std::make_shared<FakeEncoder>("fake-1", 3);
  NoteDB& db = filled({"one two three four five six disk full now"});
  const CandidateResult result = db.find_candidates({.words = "\"disk\""});
  ASSERT_THAT(result.candidates, SizeIs(1));
  const auto read = db.read_candidates(result.candidates, 10);
  ASSERT_THAT(read, SizeIs(1));
  EXPECT_EQ(read[0].hit.passage_text, "disk full now");
  EXPECT_FALSE(read[0].hit.stale);
}

TEST_F(Candidates, LeaveOutAndRequireByWords) {
  NoteDB& db = filled({"disk full", "disk full lamp", "lamp"});
  const auto vector = db.encode_text("disk");
  EXPECT_THAT(keys(db.find_candidates({.vector = vector, .excluded = "\"lamp\""})),
              ElementsAre("1"));
  EXPECT_THAT(keys(db.find_candidates({.words = "\"disk\"", .required = "\"lamp\""})),
              ElementsAre("2"));
  EXPECT_THAT(keys(db.find_candidates(
                  {.words = "\"disk\"",
                   .required = "\"full\"",
                   .filter = [](const RecordKey& key) { return key == RecordKey(2); }})),
              ElementsAre("2"));
}

TEST_F(Candidates, ThatAreGoneAreNotRead) {
  NoteDB& db = filled({"disk", "disk full", "disk full now"});
  const CandidateResult result = db.find_candidates({.words = "\"disk\""});
  db_.execute("DELETE FROM note WHERE id = 1; UPDATE note SET body = 'disk new' WHERE id = 2");
  const auto read = db.read_candidates(result.candidates, 2);
  ASSERT_THAT(read, SizeIs(2));
  EXPECT_EQ(read[0].hit.key, RecordKey(2));
  EXPECT_TRUE(read[0].hit.stale);
  EXPECT_EQ(read[0].index, 1U);
  EXPECT_EQ(read[1].hit.key, RecordKey(3));
}

TEST_F(Candidates, OfAnOldSidecarHaveWordsAfterABackfillWithoutTheModel) {
  filled({"disk full", "lamp"});
  Sidecar(file("notes.sqlite"), {})
      .connection()
      .execute(
          "DROP TABLE keyword; DELETE FROM fact WHERE name = "
          "'keywords'");
  NoteDB again = open();
  EXPECT_FALSE(again.find_candidates({.words = "\"disk\""}).has_keywords);
  const std::size_t before = encoder_->documents_encoded;
  const BackfillResult result = again.backfill_embeddings();
  EXPECT_EQ(result.unchanged, 2U);
  EXPECT_EQ(encoder_->documents_encoded, before);
  const CandidateResult found = again.find_candidates({.words = "\"disk\""});
  EXPECT_TRUE(found.has_keywords);
  EXPECT_THAT(keys(found), ElementsAre("1"));
  EXPECT_THAT(again.check(false), IsEmpty());
}

TEST_F(Candidates, WordsThatDoNotFitTheirTextsAreFoundByTheCheckAndRepaired) {
  NoteDB& db = filled({"disk full", "lamp"});
  Sidecar(file("notes.sqlite"), {})
      .connection()
      .execute("UPDATE keyword_content SET c0 = 'other' WHERE id = 1");
  const auto findings = db.check(true);
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].code, "keywords-damaged");
  EXPECT_TRUE(findings[0].repaired);
  EXPECT_THAT(db.check(false), IsEmpty());
}

}  // namespace
}  // namespace nearlite
