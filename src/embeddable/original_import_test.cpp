// Files of the original system beside a store: what they knew is taken over, damaged ones do no
// harm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "note_db.h"
#include "original_json.h"

namespace nearlite {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string content_of_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// An entry with the keys and values that the original writes (reference: metadata JSON).
json entry(std::vector<double> vector, const std::string& source_id) {
  return {{"vector", std::move(vector)},
          {"created_at", "2024-03-05T07:08:09.123456"},
          {"embedding_version", 1},
          {"kind", "note"},
          {"source_id", source_id},
          {"redacted", true},
          {"record", {{"id", 1}, {"body", "one"}}},
          {"chunk_count", 1},
          {"chunk_hashes", {"9f86d081884c7d659a2feaa0c55ad015"}},
          {"_last_chunk_meta", {{"chunk_count", 1}, {"chunk_hashes", {"9f86d081884c7d65"}}}},
          {"last_updated", "2024-03-01T00:00:00"}};
}

json original(json ids, json metadata, std::size_t dim) {
  return {{"id_map", std::move(ids)},
          {"metadata", std::move(metadata)},
          {"vector_dim", dim},
          {"last_vectorization", "2024-03-05T07:08:10.000001"}};
}

/// A store with vectors of its own: the length of the body, the id and 1.
class OwnVectors : public NoteDB {
 public:
  using NoteDB::NoteDB;
  std::optional<std::vector<float>> vector(const Record& note) const override {
    const auto length = static_cast<float>(note.get("body").size());
    return std::vector<float>{length, std::stof(note.get("id")), 1.0F};
  }
};

class OriginalFiles : public NotesTest {
 protected:
  void write(const json& document) { write_text(document.dump(2)); }
  void write_text(const std::string& text) { std::ofstream(file("notes.json")) << text; }
  json companion() const { return json::parse(content_of_file(file("notes.json"))); }
};

TEST_F(OriginalFiles, GiveTheirMetadataToTheRecordsOfAStoreOfTexts) {
  json refused = {{"created_at", "2024-03-05T07:08:09"},
                  {"embedding_version", 1},
                  {"kind", "note"},
                  {"source_id", "b"},
                  {"redacted", false},
                  {"license", "GPL-3.0"}};
  write(original({"1"}, {{"1", entry({0.6, 0.8}, "mailbox")}, {"2", refused}}, 2));
  std::ofstream(file("notes.index")) << "an Annoy file";
  note(1, "one");
  note(2, "two");
  NoteDB notes = open();
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(result.imported, 2U);
  EXPECT_EQ(result.imported_vectors, 0U);  // a text is encoded: no vector of theirs
  EXPECT_EQ(*notes.get_vector(1), FakeEncoder::vector_of("one"));
  const json one = companion()["metadata"]["1"];
  EXPECT_EQ(one["source_id"], "mailbox");
  EXPECT_EQ(one["original"]["created_at"], "2024-03-05T07:08:09.123456");
  EXPECT_EQ(one["original"]["last_updated"], "2024-03-01T00:00:00");
  EXPECT_EQ(one["original"]["chunk_hashes"][0], "9f86d081884c7d659a2feaa0c55ad015");
  EXPECT_EQ(one["original"]["_last_chunk_meta"]["chunk_count"], 1);
  EXPECT_EQ(one["original"]["slot"], 0);
  EXPECT_FALSE(one["original"].contains("vector"));
  EXPECT_EQ(companion()["metadata"]["2"]["original"]["license"], "GPL-3.0");
  EXPECT_EQ(companion()["metadata"]["2"]["original"]["redacted"], false);
  EXPECT_EQ(content_of_file(file("notes.index.original")), "an Annoy file");
}

TEST_F(OriginalFiles, AreTakenOverOnceAndStayWithTheRecord) {
  write(original({"1"}, {{"1", entry({0.6, 0.8}, "mailbox")}}, 2));
  note(1, "one");
  NoteDB notes = open();
  notes.backfill_embeddings();
  note(1, "another text");
  const BackfillResult again = notes.backfill_embeddings();
  EXPECT_EQ(again.imported, 0U);
  EXPECT_THAT(again.notes, IsEmpty());
  EXPECT_EQ(companion()["metadata"]["1"]["source_id"], "mailbox");
  EXPECT_EQ(companion()["metadata"]["1"]["original"]["embedding_version"], 1);
  db_.execute("DELETE FROM note");
  notes.backfill_embeddings();
  note(1, "a new record under the old key");
  notes.backfill_embeddings();
  EXPECT_FALSE(companion()["metadata"]["1"].contains("original"));
}

TEST_F(OriginalFiles, AreTakenOverAlsoAfterAPublishRenamedThem) {
  write(original({"1"}, {{"1", entry({0.6, 0.8}, "mailbox")}}, 2));
  note(1, "one");
  NoteDB notes = open();
  Record record;
  record.set("body", "one");
  notes.add_embedding(1, record, "note");
  notes.save_index();
  EXPECT_EQ(notes.backfill_embeddings().imported, 1U);
  EXPECT_EQ(notes.backfill_embeddings().imported, 0U);
  note(2, "two");
  notes.backfill_embeddings();
  EXPECT_EQ(companion()["metadata"]["1"]["source_id"], "mailbox");
}

TEST_F(OriginalFiles, GiveTheirVectorsToAStoreWithVectorsOfItsOwn) {
  json old_version = entry({7, 8, 9}, "x");
  old_version["embedding_version"] = 2;
  json zeros = entry({0, 0, 0}, "x");
  write(original({"1", "2", "3", "4"},
                 {{"1", entry({0.5, 0.25, -1}, "x")},
                  {"2", entry({1, 2}, "x")},  // another dimension
                  {"3", old_version},
                  {"4", zeros}},
                 3));
  for (int id = 1; id <= 5; ++id) note(id, "body");
  OwnVectors notes(db_.handle(), options());
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 5U);
  EXPECT_EQ(result.imported, 4U);
  EXPECT_EQ(result.imported_vectors, 1U);
  EXPECT_THAT(*notes.get_vector(1), ElementsAre(0.5F, 0.25F, -1.0F));
  EXPECT_THAT(*notes.get_vector(2), ElementsAre(4.0F, 2.0F, 1.0F));
  EXPECT_THAT(*notes.get_vector(3), ElementsAre(4.0F, 3.0F, 1.0F));
  EXPECT_THAT(*notes.get_vector(4), ElementsAre(4.0F, 4.0F, 1.0F));
  EXPECT_EQ(companion()["metadata"]["1"]["created_at"], "2024-03-05T07:08:09.123Z");
  EXPECT_EQ(notes.freshness().fresh, 5U);
  EXPECT_EQ(notes.backfill_embeddings().unchanged, 5U);
  EXPECT_THAT(*notes.get_vector(1), ElementsAre(0.5F, 0.25F, -1.0F));
  note(1, "a longer body");
  EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
  EXPECT_THAT(*notes.get_vector(1), ElementsAre(13.0F, 1.0F, 1.0F));
}

TEST_F(OriginalFiles, MayHaveNoIdMapOrOneThatIsAnObject) {
  write(json{{"metadata", {{"1", entry({0.6, 0.8}, "a")}}}, {"vector_dim", 2}});
  EXPECT_EQ(read_original(file("notes.json")).entries.at("1").source_id, "a");
  write(original({{"1", 4}}, {{"1", entry({0.6, 0.8}, "a")}}, 2));
  EXPECT_EQ(read_original(file("notes.json")).entries.at("1").slot, 4);
  write(original({{"0", "abc"}, {"3", "7"}}, json::object(), 2));
  const OriginalFile ids = read_original(file("notes.json"));
  EXPECT_EQ(ids.entries.at("abc").slot, 0);
  EXPECT_EQ(ids.entries.at("7").slot, 3);
  EXPECT_EQ(ids.dim, 2U);
}

TEST_F(OriginalFiles, NameTextKeysThatLookLikeNumbersAsNumbers) {
  db_.execute("DROP TABLE note; CREATE TABLE note(id TEXT PRIMARY KEY, body)");
  db_.execute("INSERT INTO note VALUES ('7', 'seven')");
  write(original({"7"}, {{"7", entry({0.6, 0.8}, "mailbox")}}, 2));
  NoteDB notes = open();
  EXPECT_EQ(notes.backfill_embeddings().imported, 1U);
  EXPECT_EQ(companion()["metadata"]["\"7\""]["source_id"], "mailbox");
}

TEST_F(OriginalFiles, LoseOnlyTheVectorsThatAreNoNumbers) {
  write_text(R"({"id_map": ["1", "2", "3", "4"], "metadata": {
    "1": {"vector": [NaN, 1.0], "kind": "note", "source_id": "NaN", "embedding_version": 1},
    "2": {"vector": [1.0, -Infinity], "source_id": "b \"Infinity\"", "embedding_version": "1"},
    "3": {"vector": [1e999, 1.0], "source_id": "c"},
    "4": {"vector": [0.5, 1.0], "source_id": "d"}}})");
  const OriginalFile read = read_original(file("notes.json"));
  EXPECT_THAT(read.entries.at("1").vector, IsEmpty());
  EXPECT_EQ(read.entries.at("1").source_id, "NaN");
  EXPECT_THAT(read.entries.at("2").vector, IsEmpty());
  EXPECT_EQ(read.entries.at("2").source_id, "b \"Infinity\"");
  EXPECT_EQ(read.entries.at("2").embedding_version, 1);
}

TEST_F(OriginalFiles, CutOffGiveWhatStandsBeforeTheCut) {
  const std::string whole =
      original({"1", "2"}, {{"1", entry({0.6, 0.8}, "a")}, {"2", entry({0.6, 0.8}, "b")}}, 2)
          .dump(2);
  write_text(whole.substr(0, whole.find("\"2\": {") + 200));
  note(1, "one");
  note(2, "two");
  NoteDB notes = open();
  const BackfillResult result = notes.backfill_embeddings();
  EXPECT_EQ(result.embedded, 2U);
  EXPECT_EQ(companion()["metadata"]["1"]["source_id"], "a");
  ASSERT_THAT(result.notes, Not(IsEmpty()));
  EXPECT_THAT(result.notes[0], HasSubstr("is damaged"));
  EXPECT_EQ(content_of_file(file("notes.json.original")).size(), whole.find("\"2\": {") + 200);
}

TEST_F(OriginalFiles, ThatAreSomethingElseStopNothing) {
  const std::string deep(100'000, '[');
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[1, 2]"), std::string("{"),
        std::string("\xff\xfe\0\0", 4), deep, R"({"metadata": )" + deep,
        std::string(R"({"metadata": [1], "id_map": 5})"),
        std::string(R"({"metadata": {"1": 5, "2": [], "3": null}, "id_map": [{}, null, [1]]})"),
        std::string(R"({"metadata": {"1": {"vector": {"a": 1}, "kind": 5, "source_id": ["x"],
          "embedding_version": 99999999999999999999, "record": )") +
            std::string(50, '[') + std::string(50, ']') + "}}}"}) {
    SCOPED_TRACE(text.substr(0, 60));
    std::filesystem::remove_all(file("notes.vec"));
    for (const char* name : {"notes.sqlite", "notes.sqlite-wal", "notes.sqlite-shm", "notes.index"})
      std::filesystem::remove(file(name));
    write_text(text);
    note(1, "one");
    NoteDB notes = open();
    EXPECT_EQ(notes.backfill_embeddings().embedded, 1U);
    EXPECT_EQ(notes.freshness().fresh, 1U);
  }
}

/// Redacts "hunter2" and blocks what says "blocked".
class SecretGate : public Gate {
 public:
  GateDecision check(std::string_view text) const override {
    if (text.find("blocked") != std::string_view::npos) return {GateAction::kBlock, "", {"test"}};
    if (text.find("hunter2") != std::string_view::npos)
      return {GateAction::kRedact, "password=[REDACTED]", {"test"}};
    return {};
  }
  std::string rules_version() const override { return "1"; }
};

TEST_F(OriginalFiles, KeepNoSecretThatTheOriginalKeptByMistake) {
  json with_secret = entry({0.6, 0.8}, "mailbox");
  with_secret["record"] = {{"body", "password=hunter2"}, {"more", {"blocked words", "fine"}}};
  with_secret["semantic_risks"] = {{"blocked line", "message", 0.8}};
  write(original({"1"}, {{"1", with_secret}}, 2));
  note(1, "one");
  EmbeddableOptions governed = options();
  governed.gate = std::make_shared<SecretGate>();
  NoteDB(db_.handle(), governed).backfill_embeddings();
  std::string all;
  for (const char* name : {"notes.sqlite", "notes.sqlite-wal", "notes.json", "notes.index"})
    all += content_of_file(file(name));
  EXPECT_THAT(all, HasSubstr("password=[REDACTED]"));
  EXPECT_THAT(all, HasSubstr("fine"));
  EXPECT_THAT(all, Not(HasSubstr("hunter2")));
  EXPECT_THAT(all, Not(HasSubstr("blocked words")));
  EXPECT_THAT(all, Not(HasSubstr("blocked line")));
}

}  // namespace
}  // namespace nearlite
