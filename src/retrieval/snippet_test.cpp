#include "nearlite/retrieval/snippet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string words(std::string_view text, std::string_view question) {
  std::string found;
  for (const auto [begin, end] : matching_words(text, question)) {
    found += std::string(text.substr(begin, end - begin)) + " ";
  }
  return found;
}

TEST(MatchingWords, AreComparedWithoutCaseAndEndings) {
  EXPECT_EQ(words("Uploads fail. Uploading the file failed", "upload fails"),
            "Uploads fail Uploading failed ");
}

TEST(MatchingWords, LeaveOutCommonWordsAndPartsOfWords) {
  EXPECT_EQ(words("how to do it in the shop", "how to shop"), "shop ");
  EXPECT_EQ(words("workshop", "shop"), "");
}

TEST(MatchingWords, MayBeOfAnyScript) {
  EXPECT_EQ(words("für größere Töne", "Wie größere"), "größere ");
}

TEST(Snippet, OfAShortTextIsTheTextOnOneLine) {
  EXPECT_EQ(make_snippet("one\n two\t\tthree \n", "two"), "one two three");
  EXPECT_EQ(make_snippet("", "two"), "");
}

TEST(Snippet, ShowsThePlaceWithMostWordsOfTheQuestion) {
  const std::string filler = "nothing to see on this line of text ";
  const std::string text =
      filler + filler + filler + "the upload failed because the disk was full. " + filler + filler;
  const std::string snippet = make_snippet(text, "upload failed disk", 60);
  EXPECT_THAT(snippet, HasSubstr("upload failed because the disk"));
  EXPECT_TRUE(snippet.starts_with("… ")) << snippet;
  EXPECT_TRUE(snippet.ends_with(" …")) << snippet;
  EXPECT_LE(snippet.size(), 60 + 8);
}

TEST(Snippet, WithoutAnyWordOfTheQuestionIsTheBeginning) {
  EXPECT_EQ(make_snippet("alpha beta gamma delta", "omega", 12), "alpha beta …");
}

TEST(Snippet, CutsAWordLongerThanTheLimitAtACharacter) {
  EXPECT_EQ(make_snippet("äääääääääääää", "x", 5), "ää…");
  EXPECT_EQ(make_snippet("aaaaaaaaaaaaaaaaaaaa needle", "needle", 10), "… needle");
}

}  // namespace
}  // namespace nearlite
