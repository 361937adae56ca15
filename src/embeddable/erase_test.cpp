#include <gmock/gmock.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "nearlite/base/error.h"
#include "nearlite_test/message_of.h"
#include "note_db.h"

namespace nearlite {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Redacted, so that what was embedded stands in the sidecar as text too.
const std::string kKey = std::string("AKIA") + "IOSFODNN7EXAMPLE";
const std::string kText = "Mr Vandersnoot moved to Umbragewick in the seventh spring with " + kKey;

std::string bytes_of_file(const std::filesystem::path& file) {
  std::ostringstream bytes;
  bytes << std::ifstream(file, std::ios::binary).rdbuf();
  return bytes.str();
}

class EraseTest : public NotesTest {
 protected:
  /// Names of the files of the store that hold these bytes.
  std::vector<std::string> files_with(const std::string& bytes) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      const std::string name = entry.path().filename().string();
      const bool source = name.starts_with("notes.db");
      if (source || !entry.is_regular_file()) continue;
      if (bytes_of_file(entry.path()).find(bytes) != std::string::npos) names.push_back(name);
    }
    return names;
  }
  static std::string bytes_of_vector(const std::vector<float>& vector) {
    std::string bytes(vector.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), vector.data(), bytes.size());
    return bytes;
  }
  void fill(NoteDB& notes) {
    for (int i = 1; i <= 40; ++i) note(i, "an ordinary note with the number " + std::to_string(i));
    note(7, kText);
    notes.backfill_embeddings();
  }
};

TEST_F(EraseTest, NoByteOfTheRecordIsLeftInAnyFile) {
  NoteDB notes = open();
  fill(notes);
  const std::string vector = bytes_of_vector(*notes.get_vector(7));
  ASSERT_FALSE(files_with(vector).empty());
  ASSERT_FALSE(files_with("Vandersnoot moved to Umbragewick").empty());
  const RecordKey key(7);
  const EraseResult result = notes.erase(std::span(&key, 1), {});
  EXPECT_THAT(files_with(vector), IsEmpty());
  EXPECT_THAT(files_with("Vandersnoot"), IsEmpty());
  EXPECT_THAT(files_with("Umbragewick"), IsEmpty());
  ASSERT_EQ(result.records.size(), 1U);
  EXPECT_EQ(result.records[0].vectors, 1U);
  EXPECT_GT(result.records[0].windows, 4U);
  EXPECT_GT(result.bytes_searched, 10'000U);
  EXPECT_FALSE(notes.get_vector(7));
  EXPECT_EQ(notes.search_by_vector(FakeEncoder::vector_of("note"), 100).size(), 39U);
  EXPECT_THAT(notes.check_erased({}), IsEmpty());
  EXPECT_THAT(notes.check(false), IsEmpty());
}

TEST_F(EraseTest, ItIsPassedOverUntilItIsForgotten) {
  NoteDB notes = open();
  fill(notes);
  const RecordKey key(7);
  notes.erase(std::span(&key, 1), {});
  const BackfillResult run = notes.backfill_embeddings();
  EXPECT_EQ(run.blocked, 1U);
  EXPECT_EQ(run.embedded, 0U);
  EXPECT_FALSE(notes.get_vector(7));
  std::string reason;
  Record record;
  record.set("body", std::string("another text"));
  EXPECT_FALSE(notes.add_embedding(7, record, "note", "", &reason));
  EXPECT_THAT(reason, HasSubstr("erased"));
  EXPECT_FALSE(notes.needs_refresh(7));
  const Freshness freshness = notes.freshness();
  EXPECT_EQ(freshness.erased, 1U);
  EXPECT_EQ(freshness.blocked, 1U);
  EXPECT_EQ(freshness.fresh, 39U);
  EXPECT_TRUE(notes.forget_erasure(7));
  EXPECT_FALSE(notes.forget_erasure(7));
  EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
  EXPECT_THAT(notes.check_erased({}), IsEmpty());
}

TEST_F(EraseTest, NeitherTheListNorTheReceiptsNameTheKey) {
  NoteDB notes = open();
  note(1, "one");
  db_.execute("DROP TABLE note; CREATE TABLE note(id TEXT PRIMARY KEY, body)");
  db_.execute("INSERT INTO note VALUES('patient-4471-ward-b', 'a short text about somebody else')");
  notes.backfill_embeddings();
  ASSERT_FALSE(files_with("patient-4471-ward-b").empty());
  const RecordKey key{std::string_view("patient-4471-ward-b")};
  notes.erase(std::span(&key, 1), {});
  EXPECT_THAT(files_with("patient-4471-ward-b"), IsEmpty());
  EXPECT_EQ(notes.backfill_embeddings().blocked, 1U);
}

TEST_F(EraseTest, AReaderThatKeepsTheOldBytesIsNamed) {
  NoteDB notes = open();
  fill(notes);
  Connection reader = Connection::open(file("notes.sqlite"), false);
  Statement old = reader.prepare("SELECT count(*) FROM record");
  reader.execute("BEGIN");
  old.step();
  const RecordKey key(7);
  EXPECT_THAT(message_of<Unavailable>([&] { notes.erase(std::span(&key, 1), {}); }),
              HasSubstr("reads"));
  EXPECT_FALSE(notes.get_vector(7));
  ASSERT_EQ(notes.check_erased({}).empty(), false);
  EXPECT_EQ(notes.check_erased({})[0].code, "erase-incomplete");
  old.reset();
  reader.execute("COMMIT");
  notes.erase(std::span(&key, 1), {});
  EXPECT_THAT(notes.check_erased({}), IsEmpty());
  EXPECT_THAT(files_with("Vandersnoot"), IsEmpty());
}

TEST_F(EraseTest, BytesThatComeBackAreFound) {
  NoteDB notes = open();
  fill(notes);
  const std::string vector = bytes_of_vector(*notes.get_vector(7));
  const RecordKey key(7);
  notes.erase(std::span(&key, 1), {});
  std::ofstream(file("notes.index.backup"), std::ios::binary)
      << "some bytes " << vector << " and more";
  const auto findings = notes.check_erased({});
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "erased-bytes");
  EXPECT_THAT(findings[0].file, HasSubstr("notes.index.backup"));
  std::filesystem::remove(file("notes.index.backup"));
  std::ofstream(file("elsewhere.log")) << "line\n" << kText << "\n";
  EXPECT_THAT(notes.check_erased({}), IsEmpty());
  EXPECT_EQ(notes.check_erased({file("elsewhere.log")}).size(), 1U);
}

TEST_F(EraseTest, WhatOtherRecordsHoldTooIsNotLookedFor) {
  NoteDB notes = open();
  fill(notes);
  note(8, kText);  // the same text, so the same vector
  notes.backfill_embeddings();
  const RecordKey key(7);
  const EraseResult result = notes.erase(std::span(&key, 1), {});
  EXPECT_GT(result.records[0].shared, 0U);
  EXPECT_TRUE(notes.get_vector(8));
  EXPECT_THAT(notes.check_erased({}), IsEmpty());
}

TEST_F(EraseTest, ARowThatIsGoneOrNotYetEmbeddedCanBeErased) {
  NoteDB notes = open();
  fill(notes);
  db_.execute("DELETE FROM note WHERE id = 7");
  note(99, "a note that was never embedded before it had to go");
  const std::vector<RecordKey> keys = {RecordKey(7), RecordKey(99)};
  EXPECT_EQ(notes.erase(keys, {}).records.size(), 2U);
  EXPECT_THAT(files_with("Vandersnoot"), IsEmpty());
  EXPECT_EQ(notes.backfill_embeddings().embedded, 0U);
  const RecordKey unknown(1234);
  EXPECT_THAT(message_of<NotFound>([&] { notes.erase(std::span(&unknown, 1), {}); }),
              HasSubstr("1234"));
  EXPECT_THROW(notes.erase({}, {}), InvalidArgument);
}

TEST_F(EraseTest, NothingIsErasedWhileABackfillHoldsTheStore) {
  NoteDB notes = open();
  fill(notes);
  note(50, "one more");
  const RecordKey key(7);
  bool refused = false;
  encoder_->on_encode = [&] {
    NoteDB second(db_.handle(), options());
    try {
      second.erase(std::span(&key, 1), {});
    } catch (const Unavailable&) {
      refused = true;
    }
  };
  notes.backfill_embeddings();
  EXPECT_TRUE(refused);
  EXPECT_TRUE(notes.get_vector(7));
}

}  // namespace
}  // namespace nearlite
