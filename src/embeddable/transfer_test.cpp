// Vectors out of a store and into one: only what fits its rows comes in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::HasSubstr;

TransferSource from(std::vector<TransferRecord>& records) {
  return [&records, next = std::size_t{0}](TransferRecord& record) mutable {
    if (next == records.size()) return false;
    record = records[next++];
    return true;
  };
}

class Transfer : public NotesTest {
 protected:
  std::vector<TransferRecord> exported(const EmbeddableDBMixin& db) {
    std::vector<TransferRecord> records;
    db.export_vectors([&](const TransferRecord& record) { records.push_back(record); });
    return records;
  }
  NoteDB other() {
    EmbeddableOptions settings = options("other");
    return NoteDB(db_.handle(), settings);
  }
};

TEST_F(Transfer, OfAllRecordsGivesAnEqualStoreWithoutTheModel) {
  std::string words;
  for (int i = 0; i < 80; ++i) words += "word" + std::to_string(i) + " ";
  note(1, "green door");
  note(2, words);  // three passages
  note(3, "");
  NoteDB notes = open();
  notes.backfill_embeddings();
  auto records = exported(notes);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1].passages.size(), 3U);
  EXPECT_EQ(records[0].identity, "fake-1");
  EXPECT_EQ(records[0].text_hash, xxh3_64("green door"));
  encoder_->documents_encoded = 0;
  NoteDB copy = other();
  const ImportResult result = copy.import_vectors(from(records));
  EXPECT_EQ(result.taken, 2U);
  EXPECT_EQ(result.refused, 0U);
  EXPECT_EQ(encoder_->documents_encoded, 0U);
  EXPECT_EQ(*copy.get_vector(2), *notes.get_vector(2));
  EXPECT_EQ(found(copy, "word70"), found(notes, "word70"));
  EXPECT_EQ(copy.freshness().fresh, 2U);
  EXPECT_EQ(copy.backfill_embeddings().unchanged, 2U);
}

TEST_F(Transfer, RefusesWhatDoesNotFitWithTheReason) {
  for (int id = 1; id <= 9; ++id) note(id, "text " + std::to_string(id));
  NoteDB notes = open();
  notes.backfill_embeddings();
  auto records = exported(notes);
  records[0].identity = "another model";
  records[1].text_hash = 5;
  records[2].key = RecordKey(77);
  records[3].vectors[0] = std::numeric_limits<float>::infinity();
  records[4].vectors.assign(FakeEncoder::kDim, 0.0F);
  records[5].passages = {{0, 9999}};
  records[6].passages.clear();
  records[7].vectors.resize(5);
  std::vector<std::string> reasons;
  NoteDB copy = other();
  const ImportResult result = copy.import_vectors(from(records));
  EXPECT_EQ(result.taken, 2U);
  EXPECT_EQ(result.refused, 7U);
  for (const auto& refused : result.refusals) reasons.push_back(refused.reason);
  EXPECT_THAT(reasons,
              testing::ElementsAre(HasSubstr("the store uses test/fake-1"),
                                   "the text is another now", "the store has no such record",
                                   HasSubstr("not finite"), "the vector is all zeros",
                                   HasSubstr("outside of the text"), "there is no vector"));
  EXPECT_EQ(copy.freshness().missing, 7U);
}

TEST_F(Transfer, TakesAnyVectorOfTheRightSizeWhereTheStoreHasItsOwn) {
  class Own : public NoteDB {
   public:
    using NoteDB::NoteDB;
    std::optional<std::vector<float>> vector(const Record& note) const override {
      return std::vector<float>{static_cast<float>(note.get("body").size()), 1.0F};
    }
  };
  note(1, "one");
  note(2, "three");
  Own notes(db_.handle(), options());
  std::vector<TransferRecord> records(2);
  records[0].key = RecordKey(1);
  records[0].dim = 2;
  records[0].vectors = {0.25F, 4.0F};
  records[1].key = RecordKey(2);
  records[1].dim = 3;
  records[1].vectors = {1, 2, 3};
  const ImportResult result = notes.import_vectors(from(records));
  EXPECT_EQ(result.taken, 1U);
  ASSERT_EQ(result.refusals.size(), 1U);
  EXPECT_THAT(result.refusals[0].reason, HasSubstr("3 dimensions, the store has 2"));
  EXPECT_EQ(*notes.get_vector(1), (std::vector<float>{0.25F, 4.0F}));
  EXPECT_EQ(notes.backfill_embeddings().unchanged, 1U);
  EXPECT_EQ(*notes.get_vector(1), (std::vector<float>{0.25F, 4.0F}));
}

TEST_F(Transfer, BringsNothingInThatGovernanceRefuses) {
  class NoSecrets : public Gate {
   public:
    GateDecision check(std::string_view text) const override {
      if (text.find("secret") != std::string_view::npos) return {GateAction::kBlock, "", {"test"}};
      return {};
    }
    std::string rules_version() const override { return "1"; }
  };
  note(1, "a secret");
  note(2, "a plain text");
  NoteDB notes = open();
  notes.backfill_embeddings();
  auto records = exported(notes);
  EmbeddableOptions governed = options("other");
  governed.gate = std::make_shared<NoSecrets>();
  NoteDB copy(db_.handle(), governed);
  const ImportResult result = copy.import_vectors(from(records));
  EXPECT_EQ(result.taken, 1U);
  EXPECT_FALSE(copy.get_vector(1));
}

TEST_F(Transfer, OfDecisionsAndImportedMetadataGoesWithAModelChange) {
  note(1, "one");
  NoteDB notes = open();
  notes.backfill_embeddings();
  NoteDB next = other();
  next.take_decisions_from(notes);
  EXPECT_TRUE(std::filesystem::exists(file("other.sqlite")));
  EXPECT_EQ(next.backfill_embeddings().embedded, 1U);
}

}  // namespace
}  // namespace nearlite
