#include <gmock/gmock.h>

#include "nearlite/base/error.h"
#include "nearlite/governance/rule_gate.h"
#include "nearlite_test/message_of.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const std::string kKey = std::string("AKIA") + "IOSFODNN7EXAMPLE";

Record body(const std::string& text) {
  Record record;
  record.set("body", text);
  return record;
}

class GovernanceTest : public NotesTest {
 protected:
  EmbeddableOptions at(GateLevel level) {
    EmbeddableOptions governed = options();
    governed.gate = builtin_gate(level);
    return governed;
  }
};

TEST_F(GovernanceTest, WithoutAGateOfItsOwnAStoreRedactsSecrets) {
  NoteDB notes = open();
  note(1, "the key is " + kKey + " of bob@example.com");
  notes.backfill_embeddings();
  EXPECT_EQ(*notes.get_vector(1),
            FakeEncoder::vector_of("the key is [REDACTED] of bob@example.com"));
}

TEST_F(GovernanceTest, AStaleHitShowsNoSecretOfTheNewText) {
  NoteDB notes(db_.handle(), at(GateLevel::kFull));
  note(1, "the green door");
  note(2, "the red wall");
  notes.backfill_embeddings();
  note(1, "the green door opens with " + kKey);
  note(2, "the red wall, says eval(data)");
  const auto found = notes.search_records(notes.encode_text("the green door"), {.k = 2});
  ASSERT_EQ(found.hits.size(), 2U);
  EXPECT_TRUE(found.hits[0].stale);
  EXPECT_EQ(found.hits[0].passage_text, "the green door opens with [REDACTED]");
  EXPECT_EQ(found.hits[1].passage_text, "");
}

TEST_F(GovernanceTest, ATextOfWhichNothingIsLeftIsNotEmbedded) {
  NoteDB notes(db_.handle(), at(GateLevel::kSecrets));
  note(1, kKey);
  EXPECT_EQ(notes.backfill_embeddings().blocked, 1U);
  EXPECT_FALSE(notes.get_vector(1));
}

TEST_F(GovernanceTest, ReasonsAreCountedWithoutNumbersAndPlaces) {
  NoteDB notes(db_.handle(), at(GateLevel::kFull));
  note(1, "eval(data)");
  note(2, "a longer text that says eval(data) too");
  note(3, " ");
  note(4, "a plain note");
  const BackfillResult first = notes.backfill_embeddings();
  EXPECT_THAT(first.skipped_by_reason,
              ElementsAre(Pair("blocked: eval-use", 2U), Pair("no text", 1U)));
  EXPECT_GE(first.wall_ms, first.encode_ms);
  const BackfillResult second = notes.backfill_embeddings();
  EXPECT_EQ(second.skipped_by_reason, first.skipped_by_reason);
}

TEST_F(GovernanceTest, ABackfillTellsTheFiguresOfEachRecordOnceItIsWritten) {
  NoteDB notes(db_.handle(), at(GateLevel::kFull));
  note(1, "eval(data)");
  note(2, "a plain note");
  note(3, " ");
  note(4, "another note of five words");
  std::vector<EmbeddingFigures> told;
  BackfillOptions options;
  options.batch_size = 3;
  options.figures = [&](std::span<const EmbeddingFigures> batch) {
    EXPECT_TRUE(notes.get_vector(batch.back().key) || !batch.back().skipped_reason.empty());
    told.insert(told.end(), batch.begin(), batch.end());
  };
  const BackfillResult result = notes.backfill_embeddings(options);
  ASSERT_EQ(told.size(), 4U);
  EXPECT_THAT(told[0].skipped_reason, HasSubstr("eval-use"));
  EXPECT_EQ(told[0].store_ms, 0);
  EXPECT_EQ(told[1].tokens, 3U);
  EXPECT_EQ(told[1].passages, 1U);
  EXPECT_GT(told[1].store_ms, 0);
  EXPECT_EQ(told[2].skipped_reason, "no text");
  EXPECT_EQ(told[3].tokens, 5U);
  EXPECT_EQ(told[1].tokens + told[3].tokens, result.tokens);
  told.clear();
  notes.backfill_embeddings(options);
  EXPECT_TRUE(told.empty());
}

TEST_F(GovernanceTest, FiguresOfEachAddAreTold) {
  std::vector<EmbeddingFigures> figures;
  EmbeddableOptions told = at(GateLevel::kFull);
  told.figures = [&](const EmbeddingFigures& one) { figures.push_back(one); };
  NoteDB notes(db_.handle(), told);
  EXPECT_TRUE(notes.add_embedding(1, body("four words are here"), "note"));
  EXPECT_FALSE(notes.add_embedding(2, body("eval(data)"), "note"));
  ASSERT_EQ(figures.size(), 2U);
  EXPECT_EQ(figures[0].store, "notes");
  EXPECT_EQ(figures[0].tokens, 4U);
  EXPECT_EQ(figures[0].passages, 1U);
  EXPECT_EQ(figures[0].skipped_reason, "");
  EXPECT_EQ(figures[1].tokens, 0U);
  EXPECT_THAT(figures[1].skipped_reason, HasSubstr("eval-use"));
}

TEST_F(GovernanceTest, AReleaseHoldsForTheTextOfThatMoment) {
  NoteDB notes(db_.handle(), at(GateLevel::kFull));
  note(1, "eval(data) by bob@example.com");
  EXPECT_EQ(notes.backfill_embeddings().blocked, 1U);
  EXPECT_THAT(message_of<NotFound>([&] { notes.release_from_quarantine(2); }), HasSubstr("2"));
  notes.release_from_quarantine(1);
  EXPECT_TRUE(notes.needs_refresh(1));
  EXPECT_EQ(notes.freshness().missing, 1U);
  EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("eval(data) by [REDACTED]"));
  EXPECT_EQ(notes.freshness().fresh, 1U);
  note(1, "eval(more) by bob@example.com");
  EXPECT_EQ(notes.backfill_embeddings().blocked, 1U);
  EXPECT_FALSE(notes.get_vector(1));
}

}  // namespace
}  // namespace nearlite
