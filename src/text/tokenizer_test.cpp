#include "nearlite/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "nearlite/base/error.h"
#include "text_test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::added_token;
using testing_support::load;
using testing_support::template_processing;
using testing_support::tokenizer_json;
using Json = nlohmann::json;

constexpr std::size_t kPlenty = 1'000'000;

/// A tokenizer whose tokens have their place in the list as id.
class SmallTokenizer {
 public:
  explicit SmallTokenizer(std::vector<std::string> tokens)
      : tokens_(std::move(tokens)), json_(tokenizer_json(tokens_)) {}

  SmallTokenizer& normalizer(const char* name, const Json& value) {
    json_["normalizer"][name] = value;
    return *this;
  }
  SmallTokenizer& model(const char* name, const Json& value) {
    json_["model"][name] = value;
    return *this;
  }
  SmallTokenizer& part(const char* name, const Json& value) {
    json_[name] = value;
    return *this;
  }
  SmallTokenizer& add(const char* content, int id, std::initializer_list<const char*> flags = {}) {
    Json token = added_token(content, id);
    for (const char* flag : flags) token[flag] = true;
    json_["added_tokens"].push_back(token);
    return *this;
  }
  /// The tokens of a text, by name; an id that no token has is shown as a number.
  std::vector<std::string> operator()(std::string_view text,
                                      const TokenizerOptions& options = {}) const {
    std::vector<std::string> names;
    for (const std::int32_t id : load(json_, options)->tokenize(text, kPlenty).ids) {
      const auto place = static_cast<std::size_t>(id);
      names.push_back(place < tokens_.size() ? tokens_[place] : std::to_string(id));
    }
    return names;
  }
  std::unique_ptr<const Tokenizer> loaded() const { return load(json_); }

 private:
  std::vector<std::string> tokens_;
  Json json_;
};

TEST(WordPiece, TakesTheLongestPieceEachTime) {
  const SmallTokenizer tokens({"?", "un", "una", "##aff", "##ffable", "##able", "##ff"});
  EXPECT_THAT(tokens("unaffable"), ElementsAre("una", "##ffable"));
  EXPECT_THAT(tokens("unable"), ElementsAre("?"));  // una|ble: no way back to un|able
}

TEST(WordPiece, AWordWithAnUnmatchedRestIsUnknownAsAWhole) {
  const SmallTokenizer tokens({"?", "ab", "##c", "x"});
  EXPECT_THAT(tokens("abc abd x"), ElementsAre("ab", "##c", "?", "x"));
}

TEST(WordPiece, TheWholeWordComesBeforeItsPieces) {
  const SmallTokenizer tokens({"?", "a", "##b", "##c", "abc", "abcdefghijklmnopqrst", "##d"});
  EXPECT_THAT(tokens("abc abcd abcdefghijklmnopqrst"),
              ElementsAre("abc", "abc", "##d", "abcdefghijklmnopqrst"));
}

TEST(WordPiece, CountsCharactersNotBytesAgainstTheLimitOfAWord) {
  SmallTokenizer tokens({"?", "ж", "##ж", "a", "##a"});
  tokens.model("max_input_chars_per_word", 3);
  EXPECT_THAT(tokens("жжж"), ElementsAre("ж", "##ж", "##ж"));
  EXPECT_THAT(tokens("жжжж"), ElementsAre("?"));
  EXPECT_THAT(tokens("aaa aaaa"), ElementsAre("a", "##a", "##a", "?"));
}

TEST(WordPiece, KnowsNoWordBeyondTheLimitEvenIfItIsAToken) {
  SmallTokenizer tokens({"?", "abcd", "."});
  tokens.model("max_input_chars_per_word", 3);
  EXPECT_THAT(tokens("abcd"), ElementsAre("?"));
  tokens.model("max_input_chars_per_word", 0);
  EXPECT_THAT(tokens("."), ElementsAre("?"));
}

TEST(WordPiece, TakesAnyContinuationPrefix) {
  SmallTokenizer tokens({"?", "ab", "c", "@@c", "x"});
  tokens.model("continuing_subword_prefix", "@@");
  EXPECT_THAT(tokens("abc"), ElementsAre("ab", "@@c"));
  tokens.model("continuing_subword_prefix", "");
  EXPECT_THAT(tokens("abc"), ElementsAre("ab", "c"));
  tokens.model("continuing_subword_prefix", "x");  // also a word of its own
  EXPECT_THAT(tokens("x abab"), ElementsAre("x", "?"));
}

TEST(WordPiece, ATokenThatEndsInNulIsNotTheOneWithoutIt) {
  SmallTokenizer tokens({"?", "ab", std::string("ab\0", 3)});
  tokens.normalizer("clean_text", false);
  EXPECT_THAT(tokens("ab"), ElementsAre("ab"));
  EXPECT_THAT(tokens(std::string_view("ab\0", 3)), ElementsAre(std::string("ab\0", 3)));
}

TEST(PreTokenizer, AsciiSymbolsAreWordsOfTheirOwnOtherSymbolsAreNot) {
  const SmallTokenizer tokens({"?", "a", "b", "$", "+", "^", "`", "~", "_", "a€b", "a±b", "¿"});
  EXPECT_THAT(tokens("a$b+^`~_"), ElementsAre("a", "$", "b", "+", "^", "`", "~", "_"));
  EXPECT_THAT(tokens("a€b a±b"), ElementsAre("a€b", "a±b"));
  EXPECT_THAT(tokens("¿a"), ElementsAre("¿", "a"));
}

TEST(Normalizer, CleaningDeletesControlsAndJoinsWhatTheySeparated) {
  SmallTokenizer tokens({"?", "a", "b", "ab"});
  const std::vector<std::string> deleted{
      "\x0b",   "\x0c",   "\u0085", "\x01",   "\x7f",   std::string(1, '\0'), "\ufffd",
      "\u200b", "\u200d", "\ufeff", "\u00ad", "\ue000", "\U000e0001"};
  const std::vector<std::string> spaces{" ", "\t", "\n", "\r", "\u00a0", "\u2028", "\u3000"};
  for (const auto& text : deleted) EXPECT_THAT(tokens("a" + text + "b"), ElementsAre("ab"));
  for (const auto& text : spaces) EXPECT_THAT(tokens("a" + text + "b"), ElementsAre("a", "b"));
  tokens.normalizer("clean_text", false);
  EXPECT_THAT(tokens("a\x0b\u0085"
                     "b"),
              ElementsAre("a", "b"));  // white space to the pre-tokenizer
  EXPECT_THAT(tokens("a\x01"), ElementsAre("?"));
}

TEST(Normalizer, AnUnassignedCodePointIsKept) {
  const SmallTokenizer tokens({"?", "a\u0378"});
  EXPECT_THAT(tokens("a\u0378"), ElementsAre("a\u0378"));
}

TEST(Normalizer, IdeographsStandAloneKanaAndHangulDoNot) {
  SmallTokenizer tokens({"?", "中", "文", "a", "かな", "中文", "豈", "豈"});
  EXPECT_THAT(tokens("a中文a"), ElementsAre("a", "中", "文", "a"));
  EXPECT_THAT(tokens("かな中"), ElementsAre("かな", "中"));
  EXPECT_THAT(tokens("\uf900"), ElementsAre("\u8c48"));  // a compatibility ideograph decomposes
  tokens.normalizer("handle_chinese_chars", false);
  EXPECT_THAT(tokens("中文"), ElementsAre("中文"));
}

TEST(Normalizer, StripAccentsOfNullMeansAsLowerCase) {
  SmallTokenizer tokens({"?", "cafe", "café", "Café", "Cafe"});
  EXPECT_THAT(tokens("Café"), ElementsAre("cafe"));
  tokens.normalizer("strip_accents", false);
  EXPECT_THAT(tokens("Café"), ElementsAre("café"));
  tokens.normalizer("lowercase", false);
  EXPECT_THAT(tokens("Café"), ElementsAre("Café"));
  tokens.normalizer("strip_accents", nullptr);
  EXPECT_THAT(tokens("Café"), ElementsAre("Café"));
  tokens.normalizer("strip_accents", true);
  EXPECT_THAT(tokens("Café"), ElementsAre("Cafe"));
}

TEST(Normalizer, LowerCasesCharacterByCharacter) {
  SmallTokenizer tokens({"?", "οδοσ", "i", "i\u0307", "ß", "\u1e9e", "k"});
  EXPECT_THAT(tokens("ΟΔΟΣ"), ElementsAre("οδοσ"));  // no final sigma
  EXPECT_THAT(tokens("İ"), ElementsAre("i"));
  EXPECT_THAT(tokens("\u212a \u1e9e"), ElementsAre("k", "ß"));  // Kelvin sign, capital sharp s
  tokens.normalizer("strip_accents", false);
  EXPECT_THAT(tokens("İ"), ElementsAre("i\u0307"));
}

TEST(Normalizer, StripsNonspacingMarksOnly) {
  const SmallTokenizer tokens({"?", "a", "a\u0903", "a\u20dd", "="});
  EXPECT_THAT(tokens("a\u0301\u0323"), ElementsAre("a"));
  EXPECT_THAT(tokens("a\u0903 a\u20dd"), ElementsAre("a\u0903", "a\u20dd"));
  EXPECT_THAT(tokens("\u2260"), ElementsAre("="));  // decomposes into punctuation
  EXPECT_THAT(tokens("\u0301"), testing::IsEmpty());
}

TEST(Normalizer, MarksThatStayComeIntoCanonicalOrder) {
  // U+08D4 has class 230, U+302E has 224, U+1B44 has 9; none of the three is stripped.
  const SmallTokenizer tokens({"?", "a\u302e\u08d4", "a\u1b44\u302e\u08d4", "a\u08d4", "\u302e"});
  EXPECT_THAT(tokens("a\u08d4\u302e"), ElementsAre("a\u302e\u08d4"));
  EXPECT_THAT(tokens("a\u08d4\u302e\u1b44"), ElementsAre("a\u1b44\u302e\u08d4"));
  EXPECT_THAT(tokens("a\u08d4\u0301\u302e"),
              ElementsAre("a\u302e\u08d4"));  // a stripped mark is no border
  EXPECT_THAT(tokens("a\u08d4!\u302e"), ElementsAre("a\u08d4", "?", "\u302e"));
}

TEST(Normalizer, HangulFallsIntoItsLetters) {
  const SmallTokenizer tokens({"?", "\u1112\u1161\u11ab", "\u1100\u1161"});
  EXPECT_THAT(tokens("\ud55c \uac00"), ElementsAre("\u1112\u1161\u11ab", "\u1100\u1161"));
}

TEST(Normalizer, NullLeavesTheTextAsItIs) {
  SmallTokenizer tokens({"?", "A", "中A", "\x01"});
  tokens.part("normalizer", nullptr);
  EXPECT_THAT(tokens("A 中A \x01"), ElementsAre("A", "中A", "\x01"));
}

TEST(Normalizer, LowerCaseOfTheModelFolderComesFirst) {
  SmallTokenizer tokens({"?", "abc", "[X]", "ABC"});
  tokens.normalizer("lowercase", false).add("[X]", 2);
  EXPECT_THAT(tokens("ABC"), ElementsAre("ABC"));
  EXPECT_THAT(tokens("ABC [X]", {.lower_case = true}), ElementsAre("abc", "[X]"));
}

TEST(AddedTokens, AreCutOutOfTheRawTextFirst) {
  SmallTokenizer tokens({"?", "[SEP]", "a", "b", "[", "]", "sep"});
  tokens.add("[SEP]", 1);
  EXPECT_THAT(tokens("a[SEP]b"), ElementsAre("a", "[SEP]", "b"));
  EXPECT_THAT(tokens("[sep]"), ElementsAre("[", "sep", "]"));
  EXPECT_THAT(tokens("[SEP[SEP]"), ElementsAre("[", "sep", "[SEP]"));
}

TEST(AddedTokens, TheLongestAtTheLeftmostPlaceWins) {
  SmallTokenizer tokens({"?", "ab", "abc", "bcd", "d", "x"});
  tokens.add("ab", 1).add("abc", 2).add("bcd", 3);
  EXPECT_THAT(tokens("xabcd"), ElementsAre("x", "abc", "d"));
}

TEST(AddedTokens, ASingleWordHasNoWordCharacterBesideIt) {
  SmallTokenizer tokens({"?", "foo", "x", "é", "-", "_", "."});
  tokens.add("foo", 1, {"single_word"});
  EXPECT_THAT(tokens("foo foo. -foo"), ElementsAre("foo", "foo", ".", "-", "foo"));
  EXPECT_THAT(tokens("xfoo"), ElementsAre("?"));
  EXPECT_THAT(tokens("éfoo fooé"), ElementsAre("?", "?"));
  EXPECT_THAT(tokens("foo_"), ElementsAre("foo", "_"));  // cut by punctuation, not as added token
}

TEST(AddedTokens, OneThatIsPassedOverHidesThoseInsideIt) {
  SmallTokenizer tokens({"?", "foo", "bar", "##bar", "##x"});
  tokens.add("foo", 1).add("foobar", 5, {"single_word"}).add("bar", 2);
  EXPECT_THAT(tokens("foobarx"), ElementsAre("foo", "##bar", "##x"));
  EXPECT_THAT(tokens("foobar foo"), ElementsAre("5", "foo"));
}

TEST(AddedTokens, NormalizedOnesAreFoundInNormalizedText) {
  SmallTokenizer tokens({"?", "hello", "a"});
  tokens.add("Héllo", 3, {"normalized"});
  EXPECT_THAT(tokens("a HELLO hello HÉLLO a"), ElementsAre("a", "3", "3", "3", "a"));
  EXPECT_THAT(tokens("ahelloa"), ElementsAre("a", "3", "a"));
}

TEST(AddedTokens, OfTwoThatAreNormalizedToTheSameTheSpecialOneCounts) {
  Json json = tokenizer_json({"?", "a"});
  json["added_tokens"] = {added_token("Foo", 2), added_token("foo", 3)};
  for (Json& token : json["added_tokens"]) token["normalized"] = true;
  EXPECT_THAT(load(json)->tokenize("foo", kPlenty).ids, ElementsAre(2));
  json["added_tokens"][0]["special"] = false;
  EXPECT_THAT(load(json)->tokenize("foo", kPlenty).ids, ElementsAre(3));
}

TEST(AddedTokens, OneInTakenWhiteSpaceThatWouldTakeMoreIsLeftOut) {
  SmallTokenizer tokens({"?", "a"});
  tokens.add("foo", 2, {"rstrip"}).add("  ", 3, {"lstrip"});
  EXPECT_THAT(tokens("a  foo  a"), ElementsAre("a", "3", "2", "a"));
  tokens.add("zz", 4, {"normalized"});
  EXPECT_THAT(tokens("a  foo  a"), ElementsAre("a", "3", "2", "a"));
}

TEST(AddedTokens, WhiteSpaceTakenAlongIsNotThereForOthers) {
  SmallTokenizer tokens({"?", "foo", "bar"});
  tokens.add("foo", 1, {"rstrip"}).add(" bar", 3, {"normalized"});
  EXPECT_THAT(tokens("foo bar"), ElementsAre("foo", "bar"));
  EXPECT_THAT(tokens("bar bar"), ElementsAre("bar", "3"));
  SmallTokenizer left({"?", "foo", "bar"});
  left.add("foo", 1, {"lstrip"}).add("bar ", 3, {"normalized"});
  EXPECT_THAT(left("bar foo"), ElementsAre("bar", "foo"));
  EXPECT_THAT(left("bar bar"), ElementsAre("3", "bar"));
}

TEST(AddedTokens, NormalizedOnesAreFoundWhereverTheTextIsCutForReading) {
  SmallTokenizer tokens({"?", "a", "b"});
  tokens.add("bb bb", 3, {"normalized"});
  for (const std::size_t before : {4080U, 4090U, 4092U, 4094U, 4096U, 8190U}) {
    const std::string text = std::string(before, '.') + "BB BB b";
    EXPECT_EQ(tokens.loaded()->tokenize(text, kPlenty).ids.size(), before + 2) << before;
    const auto cut = tokens.loaded()->tokenize(text, before + 1);
    EXPECT_EQ(cut.ids.back(), 3) << before;
    EXPECT_TRUE(cut.truncated);
  }
}

TEST(PostProcessor, TemplateAndBertProcessingSurroundTheText) {
  SmallTokenizer tokens({"?", "[CLS]", "[SEP]", "a"});
  EXPECT_THAT(tokens("a"), ElementsAre("a"));
  tokens.part("post_processor", template_processing(1, 2));
  EXPECT_THAT(tokens("a"), ElementsAre("[CLS]", "a", "[SEP]"));
  EXPECT_THAT(tokens(""), ElementsAre("[CLS]", "[SEP]"));
  tokens.part("post_processor",
              {{"type", "BertProcessing"}, {"sep", {"[SEP]", 2}}, {"cls", {"[CLS]", 1}}});
  EXPECT_THAT(tokens("a"), ElementsAre("[CLS]", "a", "[SEP]"));
  EXPECT_EQ(tokens.loaded()->num_special_tokens(), 2U);
}

TEST(Truncation, KeepsTheBeginningAndTheSpecialTokens) {
  SmallTokenizer tokens({"?", "[CLS]", "[SEP]", "a", "b", "##b"});
  tokens.part("post_processor", template_processing(1, 2)).part("truncation", {{"max_length", 1}});
  const auto tokenizer = tokens.loaded();
  const TokenizedText cut = tokenizer->tokenize("a b abb", 5);
  EXPECT_THAT(cut.ids, ElementsAre(1, 3, 4, 3, 2));  // inside a word, as the reference does
  EXPECT_TRUE(cut.truncated);
  const TokenizedText whole = tokenizer->tokenize("a b a  \n", 5);
  EXPECT_THAT(whole.ids, ElementsAre(1, 3, 4, 3, 2));
  EXPECT_FALSE(whole.truncated);  // white space at the end is nothing
  EXPECT_THROW(tokenizer->tokenize("a", 2), InvalidArgument);
}

TEST(Truncation, ReadsNoFurtherThanNeeded) {
  SmallTokenizer tokens({"?", "a", "x"});
  for (const bool is_normalized : {false, true}) {
    if (is_normalized) tokens.add("yy", 3, {"normalized"});
    const auto tokenizer = tokens.loaded();
    std::string text;
    while (text.size() < 10'000'000) text += "a ";
    text += '\xFF';  // would be refused if it were read
    const TokenizedText cut = tokenizer->tokenize(text, 256);
    EXPECT_EQ(cut.ids.size(), 256U);
    EXPECT_TRUE(cut.truncated);
    EXPECT_EQ(tokenizer->count(text, 300), 300U);
    EXPECT_THROW(tokenizer->count(text, kPlenty * 100), InvalidArgument);
  }
}

TEST(Counting, IsWithoutSpecialTokensAndStopsAtTheLimit) {
  SmallTokenizer tokens({"?", "[CLS]", "[SEP]", "a", "##b"});
  tokens.part("post_processor", template_processing(1, 2));
  const auto tokenizer = tokens.loaded();
  EXPECT_EQ(tokenizer->count("a ab", 100), 3U);
  EXPECT_EQ(tokenizer->count("a ab", 2), 2U);
  EXPECT_EQ(tokenizer->count("a ab", 0), 0U);
  EXPECT_EQ(tokenizer->count("", 10), 0U);
}

TEST(Text, ThatIsNotUtf8IsRefusedWithThePlace) {
  const auto tokenizer = SmallTokenizer({"?", "a"}).loaded();
  for (const char* bad : {"a \x80", "a \xC0\xAF", "a \xED\xA0\x80", "a \xF4\x90\x80\x80",
                          "a \xE2\x82", "a \xF0\x9F\x98"}) {
    try {
      tokenizer->tokenize(bad, 10);
      ADD_FAILURE() << "accepted: " << testing::PrintToString(bad);
    } catch (const InvalidArgument& error) {
      EXPECT_THAT(error.what(), HasSubstr("position 2"));
    }
  }
}

TEST(Text, ThatIsHostileTakesLinearTime) {
  SmallTokenizer tokens({"?", "a", "##a", "##aa", "e"});
  std::string marks = "e";
  std::string kept_marks = "e";
  std::string words;
  for (int i = 0; i < 100'000; ++i) marks += "\u0301";
  for (int i = 0; i < 50'000; ++i) kept_marks += i % 2 == 0 ? "\u08d4" : "\u302e";
  for (int i = 0; i < 10'000; ++i) words += std::string(100, 'a') + " ";
  for (const bool is_normalized : {false, true}) {
    if (is_normalized) tokens.add("zz", 5, {"normalized"});
    const auto tokenizer = tokens.loaded();
    EXPECT_THAT(tokenizer->tokenize(std::string(1'000'000, 'a'), 10).ids, ElementsAre(0));
    EXPECT_THAT(tokenizer->tokenize(marks, 10).ids, ElementsAre(4));
    EXPECT_THAT(tokenizer->tokenize(kept_marks, 10).ids, ElementsAre(0));
    EXPECT_EQ(tokenizer->count(words, kPlenty), 510'000U);
  }
}

TEST(Threads, ShareOneTokenizer) {
  const auto tokenizer = SmallTokenizer({"?", "a", "é", "中", "##a"}).loaded();
  const TokenizedText expected = tokenizer->tokenize("aa é 中 aaa", kPlenty);
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 1000; ++round) {
        EXPECT_EQ(tokenizer->tokenize("aa é 中 aaa", kPlenty).ids, expected.ids);
      }
    });
  }
}

}  // namespace
}  // namespace nearlite
