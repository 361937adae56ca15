// What load_tokenizer and load_vocab_tokenizer read, and how they refuse what they cannot follow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "nearlite/base/error.h"
#include "text_test_support.h"

namespace nearlite {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::added_token;
using testing_support::load;
using testing_support::load_text;
using testing_support::template_processing;
using testing_support::TemporaryFile;
using testing_support::tokenizer_json;
using Json = nlohmann::json;

Json small_json() {
  Json json = tokenizer_json({"[UNK]", "[CLS]", "[SEP]", "a", "##b"});
  json["added_tokens"].push_back(added_token("[SEP]", 2));
  json["post_processor"] = template_processing(1, 2);
  return json;
}

/// The message of the refusal; a failed test if the file is taken.
std::string refusal(std::string_view text) {
  try {
    load_text(text);
  } catch (const CorruptData& error) {
    return error.what();
  }
  ADD_FAILURE() << "the file was accepted";
  return {};
}

std::string refusal_after(const std::function<void(Json&)>& change) {
  Json json = small_json();
  change(json);
  return refusal(json.dump());
}

TEST(TokenizerFile, IsReadWithoutItsTruncationAndPadding) {
  Json json = small_json();
  json["truncation"] = {{"max_length", 3}, {"strategy", "LongestFirst"}, {"stride", 0}};
  json["padding"] = {{"strategy", {{"Fixed", 128}}}};
  EXPECT_THAT(load(json)->tokenize("a ab a", 100).ids, ElementsAre(1, 3, 3, 4, 3, 2));
}

TEST(TokenizerFile, KnowsItsSizes) {
  Json json = small_json();
  EXPECT_EQ(load(json)->vocabulary_size(), 5U);
  json["added_tokens"].push_back(added_token("[X]", 9));
  EXPECT_EQ(load(json)->vocabulary_size(), 10U);  // rows that an embedding table needs
  EXPECT_EQ(load(json)->num_special_tokens(), 2U);
}

TEST(TokenizerFile, OfTheFirstVersionsDoesNotNameItsModel) {
  Json json = small_json();
  json["model"].erase("type");
  EXPECT_THAT(load(json)->tokenize("a", 10).ids, ElementsAre(1, 3, 2));
}

TEST(TokenizerFile, ThatIsNotThereIsNotFound) {
  EXPECT_THROW(load_tokenizer("/nonexistent/tokenizer.json"), NotFound);
  EXPECT_THROW(load_vocab_tokenizer("/nonexistent/vocab.txt", true), NotFound);
}

TEST(TokenizerFile, IsRefusedWhereverItIsCut) {
  const std::string whole = small_json().dump();
  ASSERT_NE(load_text(whole), nullptr);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_THROW(load_text(whole.substr(0, size)), CorruptData) << "cut at " << size;
  }
}

TEST(TokenizerFile, IsRefusedWithTheNameOfAnUnknownComponent) {
  const auto type = [](const char* part, const char* name) {
    return refusal_after([&](Json& json) { json[part]["type"] = name; });
  };
  EXPECT_THAT(type("normalizer", "Nmt"), HasSubstr("normalizer Nmt is not supported"));
  EXPECT_THAT(type("pre_tokenizer", "UnicodeScripts"),
              HasSubstr("pre_tokenizer UnicodeScripts is not supported"));
  EXPECT_THAT(type("model", "Markov"), HasSubstr("model Markov is not supported"));
  EXPECT_THAT(type("post_processor", "Other"), HasSubstr("post_processor Other is not supported"));
  EXPECT_THAT(refusal_after([](Json& json) { json["version"] = "2.0"; }),
              HasSubstr("version is \"2.0\""));
}

TEST(TokenizerFile, IsRefusedIfAPartIsMissingOrOfTheWrongType) {
  const std::vector<std::string> places{
      "/model",
      "/model/vocab",
      "/model/unk_token",
      "/model/continuing_subword_prefix",
      "/model/max_input_chars_per_word",
      "/normalizer/clean_text",
      "/normalizer/handle_chinese_chars",
      "/normalizer/lowercase",
      "/normalizer/type",
      "/pre_tokenizer/type",
      "/post_processor/type",
      "/post_processor/single",
      "/post_processor/special_tokens",
      "/post_processor/special_tokens/[CLS]",
      "/post_processor/special_tokens/[CLS]/ids",
      "/added_tokens/0/content",
      "/added_tokens/0/id",
      "/added_tokens/0/single_word",
      "/added_tokens/0/lstrip",
      "/added_tokens/0/rstrip",
      "/added_tokens/0/normalized",
      "/added_tokens/0/special",
  };
  for (const std::string& place : places) {
    SCOPED_TRACE(place);
    const Json::json_pointer pointer(place);
    EXPECT_NE(
        refusal_after([&](Json& json) { json[pointer.parent_pointer()].erase(pointer.back()); }),
        "");
    for (const Json& wrong :
         {Json(-1), Json(1.5), Json("x"), Json::array({1}), Json::object({{"a", "b"}})}) {
      Json json = small_json();
      if (json[pointer].type() == wrong.type()) continue;
      json[pointer] = wrong;
      SCOPED_TRACE(wrong.dump());
      EXPECT_NE(refusal(json.dump()), "");
    }
  }
}

TEST(TokenizerFile, IsRefusedForIdsThatCannotBe) {
  const auto id = [](const char* token, const Json& value) {
    return refusal_after([&](Json& json) { json["model"]["vocab"][token] = value; });
  };
  EXPECT_THAT(id("new", 3), HasSubstr("same id 3"));
  EXPECT_THAT(id("new", -1), HasSubstr("the id -1"));
  EXPECT_THAT(id("new", 1 << 20), HasSubstr("the id 1048576"));
  EXPECT_THAT(id("new", 4294967296 + 7), HasSubstr("the id 4294967303"));
  EXPECT_THAT(id("new", 1.0), HasSubstr("the id 1.0"));
  EXPECT_THAT(id("new", "1"), HasSubstr("the id \"1\""));
  EXPECT_THAT(id("new", Json::array({1})), HasSubstr("the id "));
  EXPECT_THAT(refusal(R"({"model": {"type": "WordPiece", "vocab": {"a": 1, "a": 2}}})"),
              testing::Not(HasSubstr("accepted")));
  std::string twice = small_json().dump();
  twice.replace(twice.find("\"a\":3"), 5, "\"a\":3,\"a\":7");
  EXPECT_THAT(refusal(twice), HasSubstr("\"a\" is twice in the vocabulary"));
}

TEST(TokenizerFile, IsRefusedWithoutAnUnknownToken) {
  EXPECT_THAT(refusal_after([](Json& json) { json["model"]["unk_token"] = "<unk>"; }),
              AllOf(HasSubstr("unknown token \"<unk>\""), HasSubstr("5 tokens")));
  EXPECT_NE(refusal_after([](Json& json) { json["model"]["vocab"] = Json::object(); }), "");
}

TEST(TokenizerFile, IsRefusedForAddedTokensThatContradictIt) {
  const auto added = [](const Json& token) {
    return refusal_after([&](Json& json) { json["added_tokens"].push_back(token); });
  };
  EXPECT_THAT(added(added_token("a", 7)), HasSubstr("the vocabulary gives it 3"));
  EXPECT_THAT(added(added_token("[X]", 3)), HasSubstr("which another token has"));
  EXPECT_THAT(added(added_token("[SEP]", 2)), HasSubstr("added twice"));
  EXPECT_THAT(added(added_token("[X]", 1 << 20)), HasSubstr("the id 1048576"));
  EXPECT_THAT(added(added_token(std::string(2000, 'x'), 7)), HasSubstr("longer than 1024 bytes"));
  Json vanishing = added_token("\u200b", 7);
  vanishing["normalized"] = true;
  EXPECT_THAT(added(vanishing), HasSubstr("nothing is left"));
}

TEST(TokenizerFile, IsRefusedForATemplateThatIsNotOneTextBetweenTokens) {
  const auto single = [](const Json& value) {
    return refusal_after([&](Json& json) { json["post_processor"]["single"] = value; });
  };
  const Json text_a{{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json text_b{{"Sequence", {{"id", "B"}, {"type_id", 0}}}};
  EXPECT_THAT(single(Json::array()), HasSubstr("holds the text 0 times"));
  EXPECT_THAT(single(Json::array({text_a, text_a})), HasSubstr("holds the text 2 times"));
  EXPECT_THAT(single(Json::array({text_b})), HasSubstr("only A"));
  EXPECT_THAT(refusal_after([](Json& json) {
                json["post_processor"]["special_tokens"]["[CLS]"]["ids"] = {99};
              }),
              HasSubstr("the id 99, which no token has"));
}

TEST(TokenizerFile, IsRefusedIfItIsNestedTooDeep) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_THAT(refusal(deep), HasSubstr("levels deep"));
  EXPECT_THAT(refusal("{\"decoder\":" + deep + "}"), HasSubstr("levels deep"));
}

TEST(TokenizerFile, IsRefusedIfItsVocabularyIsTooLarge) {
  std::string huge = R"({"version": "1.0", "model": {"type": "WordPiece", "vocab": {)";
  for (int i = 0; i <= 1 << 20; ++i)
    huge += "\"t" + std::to_string(i) + "\":" + std::to_string(i % 100) + ",";
  EXPECT_THAT(refusal(huge), HasSubstr("more than 1048576 tokens"));
  EXPECT_THAT(refusal_after([](Json& json) { json["model"]["vocab"][std::string(1025, 'x')] = 7; }),
              HasSubstr("a token has 1025 bytes"));
  EXPECT_THAT(
      refusal_after([](Json& json) { json["model"]["max_input_chars_per_word"] = 1'000'000'000; }),
      HasSubstr("from 0 to 1000"));
}

TEST(TokenizerFile, IsRefusedIfItIsNotUtf8) {
  std::string text = small_json().dump();
  text.replace(text.find("\"a\":3"), 3, "\"\xFF\"");
  EXPECT_THAT(refusal(text), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(R"({"version": "\ud800"})"), HasSubstr("not valid JSON"));
}

TEST(TokenizerFile, NamesItselfInEveryMessage) {
  const TemporaryFile file("[]");
  try {
    load_tokenizer(file.path());
    ADD_FAILURE();
  } catch (const CorruptData& error) {
    EXPECT_THAT(error.what(), HasSubstr(file.path().string()));
  }
}

TEST(VocabularyFile, HasOneTokenPerLine) {
  const TemporaryFile file("[PAD]\n[UNK]\r\n[CLS]\n[SEP]\n\nabc\n##d\nABC\n");
  const auto lower = load_vocab_tokenizer(file.path(), true);
  EXPECT_THAT(lower->tokenize("ABCd [SEP] zz", 100).ids, ElementsAre(2, 5, 6, 3, 1, 3));
  EXPECT_THAT(lower->tokenize("\u00c1BC", 100).ids,
              ElementsAre(2, 5, 3));  // accents go with the case
  EXPECT_THAT(load_vocab_tokenizer(file.path(), false)->tokenize("ABC \u00c1BC", 100).ids,
              ElementsAre(2, 7, 1, 3));
  EXPECT_EQ(lower->vocabulary_size(), 8U);
}

TEST(VocabularyFile, OfATokenThatIsThereTwiceTheLaterLineCounts) {
  const TemporaryFile file("[UNK]\n[CLS]\n[SEP]\nab\nab");
  EXPECT_THAT(load_vocab_tokenizer(file.path(), true)->tokenize("ab", 100).ids,
              ElementsAre(1, 4, 2));
}

TEST(VocabularyFile, IsRefusedWithoutItsSpecialTokens) {
  for (const char* lines :
       {"", "[UNK]\n[CLS]\n", "[CLS]\n[SEP]\n", "[UNK]\n[CLS]\n[SEP]\n\xFF\n"}) {
    const TemporaryFile file(lines);
    EXPECT_THROW(load_vocab_tokenizer(file.path(), true), CorruptData)
        << testing::PrintToString(lines);
  }
}

}  // namespace
}  // namespace nearlite
