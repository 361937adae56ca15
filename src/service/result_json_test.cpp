#include "nearlite/service/result_json.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace nearlite {
namespace {

using Json = nlohmann::ordered_json;

TEST(ResultJson, KeysAndValuesKeepTheirKind) {
  EXPECT_EQ(json_of(RecordKey(4711)), 4711);
  EXPECT_EQ(json_of(RecordKey(std::string_view("4711"))), "4711");
  RecordKey second(7);
  second.table = "telemetry";
  EXPECT_EQ(json_of(second), "telemetry:7");
  EXPECT_EQ(json_of(Value(std::int64_t{1})), 1);
  EXPECT_EQ(json_of(Value(std::string("x"))), "x");
  EXPECT_TRUE(json_of(Value(std::numeric_limits<double>::infinity())).is_null());
  EXPECT_TRUE(json_of(Value(Blob{})).is_null());
}

TEST(ResultJson, TextIsAlwaysValidJson) {
  EXPECT_EQ(json_text(Json("a\xFF")), "\"a\xEF\xBF\xBD\"");
}

TEST(ResultJson, OnlyTheOwnerReadsPathsAndNotes) {
  const StoreFailure failure{"notes", "StoreError", "/srv/secret/notes.db is locked",
                             "stop what holds /srv/secret", 4};
  EXPECT_EQ(json_of(failure)["message"], "the store cannot be read now; the log says why");
  EXPECT_EQ(json_of(failure)["hint"], "");
  EXPECT_EQ(json_of(failure, Audience::kOwner)["message"], failure.message);
  vector_service::StoreBackfill done{"notes", "NoteDB", BackfillResult{}, {}, {}};
  done.result->notes = {"renamed /srv/secret/notes.json"};
  EXPECT_FALSE(json_of(done).contains("notes"));
  EXPECT_EQ(json_of(done, Audience::kOwner)["notes"][0], done.result->notes[0]);
  EXPECT_TRUE(json_of(done).contains("encode_ms"));
}

TEST(ResultJson, AResultIsExplainedOnlyWhenAsked) {
  RetrievalResult result;
  result.question = "why";
  result.k = 1;
  result.left_out = {"1 hit below the confidence asked for"};
  result.stores.push_back({"notes", 3, "exact", 1, 3, 0.5, 0.12});
  RetrievalHit& hit = result.hits.emplace_back();
  hit.store = "notes";
  hit.key = RecordKey(1);
  hit.parts.push_back({"similarity", 0.8, 0.5, 0.4});
  hit.folded.push_back(RecordKey(2));
  const Json plain = json_of(result);
  EXPECT_EQ(plain["left_out"][0], result.left_out[0]);
  EXPECT_FALSE(plain["hits"][0].contains("explain"));
  EXPECT_FALSE(plain["stores"][0].contains("background"));
  EXPECT_EQ(plain["hits"][0]["folded"], Json::array({2}));
  const Json explained = json_of(result, true);
  EXPECT_EQ(explained["hits"][0]["explain"]["parts"][0]["contribution"], 0.4);
  EXPECT_EQ(explained["stores"][0]["background"], 0.12);
}

}  // namespace
}  // namespace nearlite
