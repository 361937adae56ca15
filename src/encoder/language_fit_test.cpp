#include "nearlite/encoder/language_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

using Texts = std::vector<std::string_view>;
const Texts kEnglish{"upload failed, the disk is full", "how do I reset my password?"};
const Texts kChinese{"无法连接到数据库,请稍后重试", "机器学习模型可以把文本转换成向量",
                     "如何重置我的密码?"};
const Texts kRussian{"Не удалось подключиться к базе данных", "Как мне сбросить пароль?"};

/// The real model, which is English.
const TextEncoder& english_encoder() {
  static const auto encoder = [] {
    const char* folder = std::getenv("NEARLITE_TEST_MODEL");
    return lazy_encoder(folder == nullptr ? "" : folder, ModelPlaces::from_environment());
  }();
  return *encoder;
}

TEST(LanguageFit, IsGoodForTheLanguageOfTheModel) {
  const LanguageFit fit = language_fit(english_encoder(), kEnglish);
  EXPECT_THAT(fit.warning, IsEmpty());
  EXPECT_EQ(fit.other_letters, 0);
}

TEST(LanguageFit, WarnsOfAnEnglishModelOnChineseTextsAndNamesAnother) {
  const LanguageFit fit = language_fit(english_encoder(), kChinese);
  EXPECT_GT(fit.unknown_tokens, 0.1);
  EXPECT_THAT(fit.warning, HasSubstr("multilingual-MiniLM-L12-v2"));
  EXPECT_THAT(fit.warning, HasSubstr("of their tokens are unknown to it"));
}

TEST(LanguageFit, WarnsOfWordsThatAreSpelledOut) {
  const LanguageFit fit = language_fit(english_encoder(), kRussian);
  EXPECT_GT(fit.tokens_per_letter, 0.75);
  EXPECT_THAT(fit.warning, HasSubstr("letter by letter"));
}

TEST(LanguageFit, TakesAFewForeignNamesForWhatTheyAre) {
  Texts texts = kEnglish;
  for (int i = 0; i < 20; ++i) texts.push_back(kEnglish[0]);
  texts.push_back(kChinese[2]);
  EXPECT_THAT(language_fit(english_encoder(), texts).warning, IsEmpty());
  EXPECT_THAT(language_fit(english_encoder(), {}).warning, IsEmpty());
}

/// An encoder whose tokenizer knows every character, and what its card says.
class CardEncoder final : public TextEncoder {
 public:
  explicit CardEncoder(std::vector<std::string> languages) {
    info_.languages = std::move(languages);
  }
  const ModelInfo& info() const override { return info_; }
  EncodedBatch encode(std::span<const std::string_view>, TextRole) const override { return {}; }
  EncodedBatch encode_with_prompt(std::span<const std::string_view>,
                                  const std::string&) const override {
    return {};
  }
  TokenizedText tokenize(std::string_view text) const override {
    return {.ids = std::vector<std::int32_t>(text.size() / 9), .truncated = false};
  }
  std::vector<Passage> passages(std::string_view) const override { return {}; }

 private:
  ModelInfo info_;
};

TEST(LanguageFit, BelievesTheCardOfTheModel) {
  EXPECT_THAT(language_fit(CardEncoder({"en"}), kChinese).warning, HasSubstr("languages are en"));
  EXPECT_THAT(language_fit(CardEncoder({"en", "zh"}), kChinese).warning, IsEmpty());
  EXPECT_THAT(language_fit(CardEncoder({"multilingual"}), kChinese).warning, IsEmpty());
  EXPECT_THAT(language_fit(CardEncoder({}), kChinese).warning, IsEmpty());
}

TEST(LanguageFit, CardsAreReadInTheirThreeForms) {
  const auto languages_of = [](const std::string& card) {
    const TemporaryFolder folder;
    fs::copy(fs::path(NEARLITE_ENCODER_TESTDATA) / "families" / "static", folder.path() / "model",
             fs::copy_options::recursive);
    std::ofstream(folder.path() / "model" / "README.md") << card;
    return open_encoder(folder.path() / "model",
                        {.threads = 1, .digest_cache = folder.path() / "digests.json"})
        ->info()
        .languages;
  };
  EXPECT_EQ(languages_of("---\nlicense: mit\nlanguage: en\n---\n"), std::vector<std::string>{"en"});
  const std::vector<std::string> both{"en", "de"};
  EXPECT_EQ(languages_of("---\nlanguage: [en, de]\ntags:\n- x\n---\n"), both);
  EXPECT_EQ(languages_of("---\nlanguage:\n- en\n- de\ntags:\n- xx\n---\n"), both);
  EXPECT_THAT(languages_of("# language: en\n"), IsEmpty());
  EXPECT_THAT(languages_of(""), IsEmpty());
}

}  // namespace
}  // namespace nearlite
