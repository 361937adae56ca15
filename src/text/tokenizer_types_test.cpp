// Tokenizers of every type against what tools/make_tokenizer_types_goldens.py recorded of the
// reference library, and what their files must not say. tests/tokenizer_types_parity.py compares
// more texts, live.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "text_test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::load;
using testing_support::load_text;
using Json = nlohmann::json;

constexpr std::size_t kPlenty = 1'000'000;

const Json& goldens() {
  static const Json goldens = Json::parse(
      read_file(std::filesystem::path(NEARLITE_TEXT_TESTDATA) / "tokenizer_types.json"));
  return goldens;
}

const Json& golden_case(const std::string& name) {
  for (const Json& each : goldens().at("cases")) {
    if (each.at("name") == name) return each;
  }
  throw std::out_of_range(name);
}

class EveryType : public ::testing::TestWithParam<const char*> {
 protected:
  Json content_ = golden_case(GetParam()).at("tokenizer");
  std::unique_ptr<const Tokenizer> tokenizer_ = load(content_);
};

TEST_P(EveryType, GivesTheIdsOfTheReference) {
  const auto texts = goldens().at("texts").get<std::vector<std::string>>();
  const Json& ids = golden_case(GetParam()).at("ids");
  ASSERT_EQ(ids.size(), texts.size());
  ASSERT_GE(texts.size(), 60U);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer_->tokenize(texts[i], kPlenty).ids, ids[i].get<std::vector<std::int32_t>>())
        << Json(texts[i]);
  }
}

TEST_P(EveryType, CutsTheContentNotTheSpecialTokens) {
  const std::size_t special = tokenizer_->num_special_tokens();
  for (const std::string& text : goldens().at("texts").get<std::vector<std::string>>()) {
    const TokenizedText whole = tokenizer_->tokenize(text, kPlenty);
    const std::size_t content = whole.ids.size() - special;
    EXPECT_EQ(tokenizer_->count(text, kPlenty), content);
    for (const std::size_t limit : {special + 1, special + 7, special + 40}) {
      const TokenizedText cut = tokenizer_->tokenize(text, limit);
      EXPECT_EQ(cut.truncated, whole.ids.size() > limit);
      EXPECT_EQ(cut.ids.size(), std::min(limit, whole.ids.size()));
      EXPECT_EQ(tokenizer_->count(text, limit), std::min(limit, content));
      if (special == 0 || cut.ids.empty()) continue;
      EXPECT_EQ(cut.ids.back(), whole.ids.back());
    }
  }
}

TEST_P(EveryType, ReadsTheBeginningOfALongTextAsTheWholeOfIt) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "the New York 25 x86 it's c++ Fox  a <mask> b, naïve ½ ";
  const TokenizedText whole = tokenizer_->tokenize(text, kPlenty);
  const std::size_t special = tokenizer_->num_special_tokens();
  for (const std::size_t limit : {special + 1, std::size_t{100}, std::size_t{513}}) {
    const TokenizedText cut = tokenizer_->tokenize(text, limit);
    ASSERT_EQ(cut.ids.size(), limit);
    const auto differs = std::mismatch(cut.ids.begin(), cut.ids.end(), whole.ids.begin()).first;
    EXPECT_GE(differs - cut.ids.begin(), static_cast<std::ptrdiff_t>(limit - special));
  }
}

TEST_P(EveryType, RefusesTextThatIsNotUtf8) {
  EXPECT_THROW(tokenizer_->tokenize("abc \xff def", kPlenty), InvalidArgument);
  EXPECT_THROW(tokenizer_->tokenize("\xe4\xb8", kPlenty), InvalidArgument);
  EXPECT_THROW(tokenizer_->tokenize("a", tokenizer_->num_special_tokens()), InvalidArgument);
}

TEST_P(EveryType, IsRefusedWhereverItsFileIsCut) {
  const std::string whole = content_.dump();
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 40) {
    ASSERT_THROW(load_text(whole.substr(0, size)), CorruptData) << "cut at " << size;
  }
}

TEST_P(EveryType, NamesItsParts) {
  const TokenizerParts& parts = tokenizer_->parts();
  EXPECT_EQ(parts.model, content_["model"]["type"]);
  EXPECT_EQ(parts.normalizers.empty(), content_["normalizer"].is_null());
  EXPECT_EQ(parts.pre_tokenizers.empty(), content_["pre_tokenizer"].is_null());
  EXPECT_EQ(parts.post_processors.empty(), content_["post_processor"].is_null());
}

INSTANTIATE_TEST_SUITE_P(Types, EveryType,
                         ::testing::Values("xlm_roberta", "camembert", "unigram_bytes", "roberta",
                                           "roberta_with_prefix", "modernbert", "qwen", "cl100k",
                                           "plain_bpe", "prefix_bpe", "whole_text_bpe",
                                           "word_level", "word_piece"),
                         [](const auto& type) { return std::string(type.param); });

std::string refusal(const std::string& type, const std::string& place, const Json& value) {
  Json json = golden_case(type).at("tokenizer");
  json[Json::json_pointer(place)] = value;
  try {
    load(json);
  } catch (const CorruptData& error) {
    return error.what();
  }
  ADD_FAILURE() << place << " = " << value << " was accepted";
  return {};
}

TEST(TokenizerTypes, AreRefusedByTheNameOfWhatIsNotKnown) {
  EXPECT_THAT(refusal("camembert", "/normalizer/normalizers/1/type", "Nmt"),
              HasSubstr("normalizer Nmt is not supported"));
  EXPECT_THAT(refusal("xlm_roberta", "/pre_tokenizer/pretokenizers/0/type", "UnicodeScripts"),
              HasSubstr("pre_tokenizer UnicodeScripts is not supported"));
  EXPECT_THAT(refusal("qwen", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "[a-z]+"),
              HasSubstr("the regular expression \"[a-z]+\" is not supported"));
  EXPECT_THAT(refusal("camembert", "/normalizer/normalizers/2/pattern/Regex", "x*"),
              HasSubstr("the regular expression \"x*\" is not supported"));
  EXPECT_THAT(refusal("roberta", "/model/dropout", 0.1), HasSubstr("model.dropout is 0.1"));
  EXPECT_THAT(refusal("qwen", "/post_processor/processors/0/type", "Other"),
              HasSubstr("post_processor Other is not supported"));
}

TEST(TokenizerTypes, AreRefusedIfTheirModelDoesNotFitItself) {
  EXPECT_THAT(refusal("roberta", "/model/merges/0", "zz qq"),
              HasSubstr("is not in the vocabulary"));
  EXPECT_THAT(refusal("roberta", "/model/merges/0", "one two three"), HasSubstr("model.merges[0]"));
  EXPECT_THAT(refusal("modernbert", "/model/merges/0", Json::array({"a"})),
              HasSubstr("model.merges[0] is not a pair"));
  EXPECT_THAT(refusal("camembert", "/model/unk_id", nullptr), HasSubstr("model.unk_id is null"));
  EXPECT_THAT(refusal("camembert", "/model/unk_id", 1'000'000), HasSubstr("model.unk_id"));
  EXPECT_THAT(refusal("camembert", "/model/vocab/5", Json::array({"a"})),
              HasSubstr("model.vocab[5] is not a token and its score"));
  EXPECT_THAT(refusal("camembert", "/model/vocab/5", Json::array({"a", "b"})),
              HasSubstr("model.vocab[5]"));
  EXPECT_THAT(refusal("camembert", "/model/vocab", Json::object()), HasSubstr("model.vocab"));
  EXPECT_THAT(refusal("word_level", "/model/unk_token", "[ABSENT]"), HasSubstr("[ABSENT]"));
  EXPECT_THAT(refusal("roberta", "/post_processor/cls/1", 999'999),
              HasSubstr("which no token has"));
}

TEST(TokenizerTypes, AreRefusedIfTheirCharacterMapIsDamaged) {
  const std::string place = "/normalizer/precompiled_charsmap";
  EXPECT_THAT(refusal("xlm_roberta", place, "not base64!"), HasSubstr("not base64"));
  EXPECT_THAT(refusal("xlm_roberta", place, ""), HasSubstr("cut off"));
  EXPECT_THAT(refusal("xlm_roberta", place, "////////"), HasSubstr("4294967295 bytes"));
}

TEST(TokenizerTypes, SurviveACharacterMapThatLeadsNowhere) {
  Json json = golden_case("xlm_roberta").at("tokenizer");
  // One unit whose offset leads behind the array, and no replacements.
  json["normalizer"]["precompiled_charsmap"] = "BAAAAAD8//8=";
  EXPECT_EQ(load(json)->tokenize("a\u0301", kPlenty).ids.size(), 4U);
}

TEST(TokenizerTypes, LowerCaseFirstWhereTheConfigurationAsksForIt) {
  const Json json = golden_case("roberta").at("tokenizer");
  EXPECT_EQ(load(json, {.lower_case = true})->tokenize("The FOX", kPlenty).ids,
            load(json)->tokenize("the fox", kPlenty).ids);
}

}  // namespace
}  // namespace nearlite
