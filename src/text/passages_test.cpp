#include "nearlite/text/passages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "text_test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;

constexpr int kCls = 1;
constexpr int kSep = 2;

/// Every letter, a few pieces, and [CLS] and [SEP] around every text.
std::unique_ptr<const Tokenizer> letter_tokenizer(const char* added = nullptr) {
  std::vector<std::string> tokens{"[UNK]", "[CLS]", "[SEP]", ".",     "!",   "?",
                                  "。",    "one",   "two",   "three", "four"};
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    tokens.emplace_back(1, letter);
    tokens.push_back(std::string("##") + letter);
  }
  const auto num_tokens = static_cast<int>(tokens.size());
  nlohmann::json json = testing_support::tokenizer_json(tokens);
  json["post_processor"] = testing_support::template_processing(kCls, kSep);
  if (added != nullptr)
    json["added_tokens"].push_back(testing_support::added_token(added, num_tokens));
  return testing_support::load(json);
}

std::vector<std::string> split(std::string_view text, std::size_t max_tokens) {
  std::vector<std::string> parts;
  for (const Passage& passage : split_passages(text, *letter_tokenizer(), max_tokens)) {
    parts.emplace_back(text.substr(passage.begin, passage.end - passage.begin));
  }
  return parts;
}

/// What every division of a text must keep.
void expect_good_passages(std::string_view text, const Tokenizer& tokenizer,
                          std::size_t max_tokens) {
  const std::vector<Passage> passages = split_passages(text, tokenizer, max_tokens);
  ASSERT_FALSE(passages.empty());
  EXPECT_EQ(passages, split_passages(text, tokenizer, max_tokens)) << "not deterministic";
  EXPECT_EQ(passages.front().begin, 0U);
  EXPECT_EQ(passages.back().end, text.size());
  std::size_t covered = 0;
  for (std::size_t i = 0; i < passages.size(); ++i) {
    const Passage& passage = passages[i];
    const std::string_view part = text.substr(passage.begin, passage.end - passage.begin);
    ASSERT_LE(passage.begin, covered) << "a gap before passage " << i;
    ASSERT_TRUE(passage.end > covered || text.empty()) << "passage " << i << " brings nothing new";
    ASSERT_EQ(find_invalid_utf8(part), std::nullopt) << "passage " << i << " cuts a character";
    ASSERT_FALSE(tokenizer.tokenize(part, max_tokens).truncated)
        << "passage " << i << " is too long";
    covered = passage.end;
  }
}

TEST(Passages, ATextThatFitsIsOnePassage) {
  EXPECT_THAT(split("one two. three four.", 8), ElementsAre("one two. three four."));
  EXPECT_THAT(split("", 8), ElementsAre(""));
  EXPECT_THAT(split("   ", 8), ElementsAre("   "));
}

TEST(Passages, BreakAtSentencesAndShareOneWithTheNeighbor) {
  EXPECT_THAT(split("one two. three. four! one two", 8),
              ElementsAre("one two. three. ", "three. four! one two"));
}

TEST(Passages, ASentenceThatDoesNotFitTwiceIsNotShared) {
  EXPECT_THAT(split("one. two three four one. one two three.", 8),
              ElementsAre("one. ", "two three four one. ", "one two three."));
}

TEST(Passages, LinesAndWideStopsEndSentencesToo) {
  EXPECT_THAT(split("one two\n\nthree four\none two three", 6),
              ElementsAre("one two\n\nthree four\n", "one two three"));
  EXPECT_THAT(split("one。two。three four one。", 6),
              ElementsAre("one。two。", "three four one。"));
  EXPECT_THAT(split("one (two!) three four", 7), ElementsAre("one (two!) ", "three four"));
}

TEST(Passages, ADotInsideAWordEndsNothing) {
  EXPECT_THAT(split("one.two three.four one two", 8),
              ElementsAre("one.two three.four ", "one two"));
}

TEST(Passages, TooLongASentenceIsCutBetweenWords) {
  EXPECT_THAT(split("one two three four one two", 5),
              ElementsAre("one two three ", "four one two"));
}

TEST(Passages, TooLongAWordIsCutBetweenCharacters) {
  EXPECT_THAT(split("abcdefgh", 5), ElementsAre("abc", "def", "gh"));
  EXPECT_THAT(split("äöüäöü", 5), ElementsAre("äöü", "äöü"));
}

TEST(Passages, AnAddedTokenAcrossSentencesIsCountedAsItIs) {
  // As a whole it is one token; cut between its sentences it is nine.
  const auto tokenizer = letter_tokenizer("xyz. xyz.");
  std::string text;
  for (int i = 0; i < 50; ++i) text += "one two xyz. xyz. three.\n";
  for (const std::size_t max_tokens : {6U, 9U, 12U, 20U})
    expect_good_passages(text, *tokenizer, max_tokens);
}

TEST(Passages, HoldForOddTexts) {
  const auto tokenizer = letter_tokenizer();
  std::mt19937 random(7);
  const std::vector<std::string> parts{"one",
                                       "two.",
                                       "abc",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\n\n",
                                       ".",
                                       "!",
                                       "?",
                                       "...",
                                       "中文",
                                       "。",
                                       "！",
                                       "日本語の文",
                                       "👩‍👩‍👧‍👦",
                                       "e\u0301\u0323",
                                       "\u0301",
                                       "ß",
                                       "한국어",
                                       "İ",
                                       "\x01",
                                       "\u200b",
                                       "zzzzzzzzzz",
                                       "\"",
                                       ")"};
  for (int round = 0; round < 1000; ++round) {
    std::string text;
    const std::size_t length = random() % 200;
    for (std::size_t i = 0; i < length; ++i) text += parts[random() % parts.size()];
    SCOPED_TRACE(text);
    expect_good_passages(text, *tokenizer, 8 + random() % 40);
    if (HasFatalFailure()) return;
  }
}

TEST(Passages, ATextOfOneMegabyteWithoutASpaceTakesNoTime) {
  const auto tokenizer = letter_tokenizer();
  std::string ideographs;
  std::string stops;
  while (ideographs.size() < 1'000'000) ideographs += "文字";
  while (stops.size() < 1'000'000) stops += "ab.";
  const std::string letters(1'000'000, 'a');
  for (const auto& text : {ideographs, stops, letters}) expect_good_passages(text, *tokenizer, 256);
  EXPECT_EQ(split_passages(letters, *tokenizer, 256).size(), 1U);  // one unknown token
}

TEST(Passages, AreRefusedWhereNothingFits) {
  EXPECT_THROW(split_passages("one", *letter_tokenizer(), 2), InvalidArgument);
  EXPECT_THROW(split_passages("one \xFF", *letter_tokenizer(), 8), InvalidArgument);
}

}  // namespace
}  // namespace nearlite
