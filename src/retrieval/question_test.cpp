#include "nearlite/retrieval/question.h"

#include <gtest/gtest.h>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

TEST(AQuestion, LooksForItsTellingWordsOnce) {
  const Question question = parse_question("How do I reset the Password, the password?");
  EXPECT_EQ(question.text, "How do I reset the Password, the password?");
  EXPECT_EQ(question.words, "\"reset\" OR \"password\"");
  EXPECT_EQ(question.exact, "");
  EXPECT_EQ(question.excluded, "");
}

TEST(AQuestion, OfCommonWordsOnlyLooksForThem) {
  EXPECT_EQ(parse_question("who is it").words, "\"who\" OR \"is\" OR \"it\"");
}

TEST(AQuestion, HasPhrasesInQuotes) {
  const Question question = parse_question("why \"upload failed\" today");
  EXPECT_EQ(question.text, "why upload failed today");
  EXPECT_EQ(question.phrases, "\"upload failed\"");
  EXPECT_EQ(question.exact, "\"upload failed\"");
  EXPECT_EQ(question.words, "\"upload\" OR \"failed\" OR \"today\"");
  EXPECT_EQ(parse_question("\u201cupload failed\u201d").phrases, "\"upload failed\"");
}

TEST(AQuestion, LeavesOutWordsWithAMinus) {
  const Question question = parse_question("disk full -lamp -\"old disk\"");
  EXPECT_EQ(question.text, "disk full");
  EXPECT_EQ(question.excluded, "\"lamp\" OR \"old disk\"");
  EXPECT_EQ(question.words, "\"disk\" OR \"full\"");
}

TEST(AQuestion, TakesNumbersOptionsAndDashesAsText) {
  for (const char* text :
       {"exit code -1", "what does --all do", "a - b", "well-known", "-", "--"}) {
    EXPECT_EQ(parse_question(text).excluded, "") << text;
  }
}

TEST(AQuestion, KnowsIdentifiersAndErrorCodes) {
  for (const char* name : {"E0432", "ENOSPC", "ERR_CONN_RESET", "std::vector", "libssl3",
                           "0x8007000e", "foo.bar", "__init__", "python3-numpy"}) {
    EXPECT_TRUE(is_identifier(name)) << name;
  }
  for (const char* word : {"upload", "404", "well-known", "e.g", "end.The", "3d", "2nd", "1990s",
                           "", "NASA", "ELECTRON"}) {
    EXPECT_FALSE(is_identifier(word)) << word;
  }
  EXPECT_EQ(parse_question("what is (ERR_CONN_RESET)?").exact, "\"ERR_CONN_RESET\"");
  EXPECT_EQ(parse_question("error 10061").exact, "\"10061\"");
  EXPECT_EQ(parse_question("all errors of the year 2026").exact, "");
}

TEST(AQuestion, InScriptsWithoutSpacesLooksForPairsOfCharacters) {
  EXPECT_EQ(parse_question("文件上传").words, "\"文件\" OR \"件上\" OR \"上传\"");
}

TEST(AQuestion, IsNeverAnErrorOfSyntax) {
  EXPECT_EQ(parse_question("\"").words, "");
  EXPECT_EQ(parse_question("\"open").words, "\"open\"");
  EXPECT_EQ(parse_question("a\"b* NEAR(x) ^{col}:y \xE2\x98\x83").words,
            "\"b\" OR \"near\" OR \"x\" OR \"col\" OR \"y\" OR \"\xE2\x98\x83\"");
  EXPECT_EQ(parse_question("\"\" x").phrases, "");
}

TEST(AQuestion, HasToSaySomething) {
  EXPECT_THROW(parse_question(" \n"), InvalidArgument);
  EXPECT_THROW(parse_question("-lamp"), InvalidArgument);
  EXPECT_THROW(parse_question("\"\""), InvalidArgument);
  EXPECT_THROW(parse_question("\xff"), InvalidArgument);
}

}  // namespace
}  // namespace nearlite
