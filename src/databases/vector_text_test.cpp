#include "vector_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nearlite/base/checksum.h"

namespace nearlite {
namespace {

using testing::ElementsAre;

TEST(VectorText, SentencesEndAtWhitespaceBehindAStop) {
  EXPECT_THAT(sentences_of("One. Two!  Three?\nv1.2 is out. "),
              ElementsAre("One.", "Two!", "Three?", "v1.2 is out."));
  EXPECT_TRUE(sentences_of(" \n").empty());
}

TEST(VectorText, EachPieceIsSaidOnce) { EXPECT_EQ(joined_once({"Web", "api", "WEB"}), "Web api"); }

TEST(VectorText, ListsAreReadAsJsonElseAsOneItem) {
  EXPECT_THAT(list_of_json(R"(["a", 7, "b c"])"), ElementsAre("a", "7", "b c"));
  EXPECT_THAT(list_of_json("plain"), ElementsAre("plain"));
  EXPECT_TRUE(list_of_json("").empty());
  EXPECT_THAT(comma_list(" a, ,b,"), ElementsAre("a", "b"));
}

// Expected values: python3 -c 'import json; print(json.dumps(...))'
TEST(VectorText, JsonIsWrittenAsTheOriginalWroteIt) {
  EXPECT_EQ(json_list({"a", "\xC3\xA9", "\xF0\x9F\x98\x80", "\"\\\n\x01\x7F"}),
            "[\"a\", \"\\u00e9\", \"\\ud83d\\ude00\", \"\\\"\\\\\\n\\u0001\x7F\"]");
  EXPECT_EQ(json_map({{"b", "2"}, {"a", "1"}}), "{\"a\": \"1\", \"b\": \"2\"}");
}

// hashlib.sha256(json.dumps({"name": "x", "tasks": "[]", "type": None},
// sort_keys=True).encode()).hexdigest()
TEST(VectorText, TheContentHashIsThatOfTheOriginal) {
  const std::vector<std::pair<std::string, Value>> row{{"type", std::monostate{}},
                                                       {"name", std::string("x")},
                                                       {"tasks", std::string("[]")},
                                                       {"status", std::string("not hashed")}};
  EXPECT_EQ(content_hash(row, {"tasks", "name", "type"}),
            sha256_hex(R"({"name": "x", "tasks": "[]", "type": null})"));
  EXPECT_EQ(content_hash(row, {"tasks", "name", "type"}),
            "356ea96befc821d2fdfe2fd2b0dc507e6951c2a0314483d5724dc7e7e03da7ae");
}

TEST(VectorText, RecordsAreFlattenedToPairs) {
  Record record;
  record.set("title", std::string("Disk full"));
  record.set("tags", std::string("io, disk"));
  record.set("energy", std::int64_t{3});
  record.set("notes", std::monostate{});
  record.set("performance_data", std::string(R"({"cpu": {"max": 2}, "runs": [1, 2], "x": null})"));
  EXPECT_EQ(flattened(record, {"title", "tags", "energy", "notes", "performance_data"}, {"tags"}),
            "title=Disk full tags=io tags=disk energy=3 performance_data.cpu.max=2 "
            "performance_data.runs=1 performance_data.runs=2");
}

// Expected texts: difflib.unified_diff(a.splitlines(), b.splitlines(), lineterm="", fromfile="",
// tofile="") of Python.
TEST(UnifiedDiff, ShowsChangesWithThreeLinesAround) {
  EXPECT_EQ(unified_diff("a\nb\nc\nd\ne\nf\ng\nh\n", "a\nb\nc\nd\nE\nf\ng\nh\n"),
            "--- \n+++ \n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h");
  EXPECT_EQ(unified_diff("", "x\ny"), "--- \n+++ \n@@ -0,0 +1,2 @@\n+x\n+y");
  EXPECT_EQ(unified_diff("x", ""), "--- \n+++ \n@@ -1 +0,0 @@\n-x");
  EXPECT_EQ(unified_diff("same\n", "same"), "");
}

TEST(UnifiedDiff, ChangesFarApartMakeTwoHunks) {
  std::string before;
  for (int i = 1; i <= 20; ++i) before += std::to_string(i) + "\n";
  std::string after = before;
  after.replace(after.find("2\n"), 1, "two");
  after.replace(after.find("18"), 2, "eighteen");
  EXPECT_EQ(unified_diff(before, after),
            "--- \n+++ \n@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n@@ -15,6 +15,6 @@\n 15\n 16\n "
            "17\n-18\n+eighteen\n 19\n 20");
}

TEST(UnifiedDiff, ApplyingItGivesTheOtherText) {
  std::uint32_t state = 1;
  const auto random = [&](std::uint32_t limit) {
    state = state * 1664525U + 1013904223U;
    return (state >> 8) % limit;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> a;
    std::vector<std::string> b;
    for (std::uint32_t i = random(12); i > 0; --i)
      a.push_back(std::string(1, static_cast<char>('a' + random(4))));
    for (std::uint32_t i = random(12); i > 0; --i)
      b.push_back(std::string(1, static_cast<char>('a' + random(4))));
    const auto text = [](const std::vector<std::string>& lines) {
      std::string all;
      for (const std::string& line : lines) all += line + "\n";
      return all;
    };
    // With more context than lines there is one hunk: its ' ' and '-' lines are a, its ' ' and '+'
    // lines are b.
    std::vector<std::string> old_lines;
    std::vector<std::string> new_lines;
    const auto lines = lines_of(unified_diff(text(a), text(b), 100));
    for (std::size_t i = 3; i < lines.size(); ++i) {
      if (lines[i][0] != '+') old_lines.push_back(lines[i].substr(1));
      if (lines[i][0] != '-') new_lines.push_back(lines[i].substr(1));
    }
    if (a == b) {
      ASSERT_TRUE(lines.empty());
    } else {
      ASSERT_EQ(old_lines, a);
      ASSERT_EQ(new_lines, b);
    }
  }
}

TEST(UnifiedDiff, VeryDifferentTextsTakeBoundedTime) {
  std::string a;
  std::string b;
  for (int i = 0; i < 20000; ++i) {
    a += "a" + std::to_string(i) + "\n";
    b += "b" + std::to_string(i) + "\n";
  }
  EXPECT_GT(unified_diff(a, b).size(), a.size() + b.size());
}

}  // namespace
}  // namespace nearlite
