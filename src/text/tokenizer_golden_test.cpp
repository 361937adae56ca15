// Agreement with the reference library on what tools/make_tokenizer_goldens.py recorded.
// tests/tokenizer_parity.py compares more texts, live.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "nearlite/base/files.h"
#include "nearlite/base/utf8.h"
#include "text_test_support.h"

namespace nearlite {
namespace {

using Json = nlohmann::json;

constexpr char32_t kLastBmp = 0xFFFF;
constexpr char32_t kLastCodePoint = 0x10FFFF;
constexpr std::size_t kPlenty = 1'000'000;

const Json& goldens() {
  static const Json goldens = Json::parse(
      read_file(std::filesystem::path(NEARLITE_TEXT_TESTDATA) / "tokenizer_goldens.json"));
  return goldens;
}

/// The tokenizer of all-MiniLM-L6-v2: in the folder NEARLITE_TEST_MODEL, else in the cache of the
/// user. Where it is not, the tests fail.
const Tokenizer& model_tokenizer() {
  static const auto tokenizer = [] {
    const auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return std::filesystem::path(value == nullptr ? "" : value);
    };
    std::filesystem::path folder = variable("NEARLITE_TEST_MODEL");
    if (folder.empty()) {
      const auto cache = variable("XDG_CACHE_HOME");
      folder = (cache.empty() ? variable("HOME") / ".cache" : cache) /
               "nearlite/models/sentence-transformers/all-MiniLM-L6-v2";
    }
    return load_tokenizer(folder / "tokenizer.json");
  }();
  return *tokenizer;
}

/// FNV-1a over whole ids; the end of a text counts as id 0xFFFFFFFF.
class IdsHash {
 public:
  void add(const std::vector<std::int32_t>& ids) {
    for (const std::int32_t id : ids) mix(static_cast<std::uint32_t>(id));
    mix(0xFFFFFFFFU);
  }
  std::string hex() const {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value_));
    return text;
  }

 private:
  void mix(std::uint32_t number) { value_ = (value_ ^ number) * 0x100000001B3U; }
  std::uint64_t value_ = 0xCBF29CE484222325U;
};

/// Every code point of each block, alone and between letters.
void expect_blocks(const Tokenizer& tokenizer, const Json& hashes, char32_t last) {
  std::size_t block = 0;
  char32_t size = 0;
  for (char32_t first = 0; first <= last; first += size, ++block) {
    size = first <= kLastBmp ? 0x100 : 0x1000;
    IdsHash hash;
    for (char32_t code = first; code < first + size; ++code) {
      if (code >= 0xD800 && code <= 0xDFFF) continue;
      std::string character;
      append_utf8(character, code);
      hash.add(tokenizer.tokenize(character, kPlenty).ids);
      hash.add(tokenizer.tokenize("ab" + character + "cd", kPlenty).ids);
    }
    ASSERT_LT(block, hashes.size());
    EXPECT_EQ(hash.hex(), hashes[block])
        << "code points from U+" << std::hex << static_cast<std::uint32_t>(first);
  }
  EXPECT_EQ(block, hashes.size());
}

TEST(Goldens, EveryCodePointAsTheModelReadsIt) {
  expect_blocks(model_tokenizer(), goldens().at("model_blocks"), kLastCodePoint);
}

TEST(Goldens, LiteralTexts) {
  const std::size_t max_tokens = goldens().at("max_tokens");
  ASSERT_GE(goldens().at("texts").size(), 300U);
  for (const Json& golden : goldens().at("texts")) {
    const TokenizedText got =
        model_tokenizer().tokenize(golden.at(0).get<std::string>(), max_tokens);
    EXPECT_EQ(got.ids, golden.at(1).get<std::vector<std::int32_t>>()) << golden.at(0);
    EXPECT_EQ(got.truncated, golden.at(2).get<bool>()) << golden.at(0);
  }
}

TEST(Goldens, TheModelAsItIs) {
  EXPECT_EQ(model_tokenizer().vocabulary_size(), 30522U);
  EXPECT_EQ(model_tokenizer().num_special_tokens(), 2U);
}

/// A tokenizer in which every code point of the BMP is a token, alone and within a word.
Json character_tokenizer() {
  std::vector<std::string> tokens{"[UNK]"};
  for (const char* prefix : {"", "##"}) {
    for (char32_t code = 1; code <= kLastBmp; ++code) {
      if (code >= 0xD800 && code <= 0xDFFF) continue;
      append_utf8(tokens.emplace_back(prefix), code);
    }
  }
  return testing_support::tokenizer_json(tokens);
}

TEST(Goldens, EveryCodePointUnderEverySetOfNormalizerOptions) {
  struct Options {
    const char* name;
    bool clean_text, handle_chinese_chars;
    Json strip_accents;
    bool lowercase;
  };
  const Options all_options[] = {{"uncased", true, true, nullptr, true},
                                 {"cased", true, true, nullptr, false},
                                 {"strip", false, false, true, false},
                                 {"lower", false, true, false, true},
                                 {"plain", false, false, false, false}};
  Json json = character_tokenizer();
  ASSERT_EQ(goldens().at("character_blocks").size(), std::size(all_options));
  for (const Options& options : all_options) {
    SCOPED_TRACE(options.name);
    json["normalizer"] = {{"type", "BertNormalizer"},
                          {"clean_text", options.clean_text},
                          {"handle_chinese_chars", options.handle_chinese_chars},
                          {"strip_accents", options.strip_accents},
                          {"lowercase", options.lowercase}};
    expect_blocks(*testing_support::load(json), goldens().at("character_blocks").at(options.name),
                  kLastBmp);
  }
}

}  // namespace
}  // namespace nearlite
