// Random texts and damaged files: whatever comes in, the answer is right or an error of ours. Run
// under the sanitizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "nearlite/text/passages.h"
#include "text_test_support.h"

namespace nearlite {
namespace {

using Json = nlohmann::json;
using testing_support::added_token;

constexpr std::size_t kPlenty = 1'000'000;

enum class Added { kNone, kRaw, kNormalized };

/// Letters, some pieces, some characters of other scripts; with added tokens of every flag where
/// asked for.
Json mixed_json(Added added, bool uncased) {
  std::vector<std::string> tokens{"[UNK]", "[CLS]", "[SEP]", "##ab", "the",      "##e",
                                  "##é",   "é",     "中",    ".",    "##\u302e", "##\u08d4"};
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    tokens.emplace_back(1, letter);
    tokens.push_back(std::string("##") + letter);
  }
  Json json = testing_support::tokenizer_json(tokens);
  json["normalizer"]["lowercase"] = uncased;
  json["normalizer"]["clean_text"] = uncased;
  json["post_processor"] = testing_support::template_processing(1, 2);
  if (added == Added::kNone) return json;
  auto id = static_cast<int>(tokens.size());
  const auto add = [&](const char* content, std::initializer_list<const char*> flags) {
    Json token = added_token(content, id++);
    for (const char* flag : flags) token[flag] = true;
    if (added == Added::kNormalized && id % 2 == 0) token["normalized"] = true;
    json["added_tokens"].push_back(token);
  };
  add("[X]", {});
  add("ab", {"single_word"});
  add("  ", {"lstrip"});
  add("zé", {"rstrip"});
  add("\u00a0q", {"single_word", "lstrip", "rstrip"});
  add("abz y", {"rstrip"});
  return json;
}

std::vector<std::unique_ptr<const Tokenizer>> tokenizers() {
  std::vector<std::unique_ptr<const Tokenizer>> result;
  for (const Added added : {Added::kNone, Added::kRaw, Added::kNormalized}) {
    for (const bool uncased : {false, true})
      result.push_back(testing_support::load(mixed_json(added, uncased)));
  }
  return result;
}

class RandomText {
 public:
  explicit RandomText(unsigned seed) : random_(seed) {}

  std::string bytes(std::size_t max_size) {
    std::string text(below(max_size + 1), '\0');
    for (char& byte : text) byte = static_cast<char>(below(256));
    return text;
  }

  /// Valid UTF-8 out of all planes, and of what the tokenizers know.
  std::string characters(std::size_t max_parts) {
    static constexpr struct {
      char32_t first, last;
    } kPlanes[] = {{0x20, 0x7E},       {0x61, 0x7A},        {0, 0x7F},        {0x80, 0x7FF},
                   {0x800, 0xD7FF},    {0xAC00, 0xD7A3},    {0xE000, 0xFFFF}, {0x10000, 0x1FFFF},
                   {0x20000, 0x3FFFF}, {0xE0000, 0x10FFFF}, {0x300, 0x36F},   {0x4E00, 0x9FFF}};
    static const std::string kParts[] = {
        "[X]",    "ab", " ",      "  ",     "zé",     "\u00a0q", "abz y", "the",
        "\u302e", "\n", "\u08d4", "\u1b44", "\u0301", "[SEP]",   ".",     std::string(99, 'a')};
    std::string text;
    const std::size_t num_parts = below(max_parts + 1);
    for (std::size_t i = 0; i < num_parts; ++i) {
      if (below(2) == 0) {
        text += kParts[below(std::size(kParts))];
        continue;
      }
      const auto& plane = kPlanes[below(std::size(kPlanes))];
      for (std::size_t n = below(6); n > 0; --n) {
        append_utf8(text, plane.first + static_cast<char32_t>(below(plane.last - plane.first + 1)));
      }
    }
    return text;
  }

  std::size_t below(std::size_t limit) { return random_() % limit; }

 private:
  std::mt19937_64 random_;
};

/// A copy without a byte behind its end, so that the sanitizer sees a read beyond it.
class Exact {
 public:
  explicit Exact(std::string_view text) : bytes_(text.begin(), text.end()) {}
  operator std::string_view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::vector<char> bytes_;
};

/// Checks all that is promised about one valid text.
void expect_consistent(const Tokenizer& tokenizer, std::string_view text, std::size_t limit) {
  const TokenizedText whole = tokenizer.tokenize(text, kPlenty);
  const auto& ids = whole.ids;
  ASSERT_FALSE(whole.truncated);
  ASSERT_EQ(ids.front(), 1);
  ASSERT_EQ(ids.back(), 2);
  for (const std::int32_t id : ids)
    ASSERT_LT(static_cast<std::size_t>(id), tokenizer.vocabulary_size());
  ASSERT_EQ(tokenizer.count(text, kPlenty), ids.size() - 2);
  ASSERT_EQ(tokenizer.count(text, limit), std::min(ids.size() - 2, limit));

  const TokenizedText cut = tokenizer.tokenize(text, limit);
  ASSERT_EQ(cut.truncated, ids.size() > limit);
  if (!cut.truncated) {
    ASSERT_EQ(cut.ids, ids);
    return;
  }
  ASSERT_EQ(cut.ids.size(), limit);
  ASSERT_TRUE(std::equal(cut.ids.begin(), cut.ids.end() - 1, ids.begin()));
  ASSERT_EQ(cut.ids.back(), 2);
}

TEST(Robustness, ValidTextsOfAllPlanesAreRead) {
  RandomText random(1);
  const auto all = tokenizers();
  for (int round = 0; round < 3000; ++round) {
    const Exact text(random.characters(round % 10 == 0 ? 400 : 30));
    for (const auto& tokenizer : all) {
      expect_consistent(*tokenizer, text, 3 + random.below(60));
      if (HasFatalFailure()) FAIL() << testing::PrintToString(std::string(std::string_view(text)));
    }
  }
}

TEST(Robustness, RandomBytesAreRefusedIfTheyAreNotUtf8) {
  RandomText random(2);
  const auto all = tokenizers();
  for (int round = 0; round < 5000; ++round) {
    std::string bytes = round % 2 == 0 ? random.bytes(40) : random.characters(10);
    if (round % 2 == 1 && !bytes.empty())
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    const Exact text(bytes);
    for (const auto& tokenizer : all) {
      if (find_invalid_utf8(bytes)) {
        EXPECT_THROW(tokenizer->tokenize(text, kPlenty), InvalidArgument);
        EXPECT_THROW(split_passages(text, *tokenizer, 10), InvalidArgument);
      } else {
        EXPECT_NO_THROW(tokenizer->tokenize(text, kPlenty));
      }
    }
  }
}

TEST(Robustness, PassagesOfOddTextsAreNeverTruncated) {
  RandomText random(3);
  const auto all = tokenizers();
  for (int round = 0; round < 300; ++round) {
    const Exact text(random.characters(120));
    const std::string_view view = text;
    for (const auto& tokenizer : all) {
      const std::size_t max_tokens = 8 + random.below(30);
      std::size_t covered = 0;
      for (const Passage& passage : split_passages(view, *tokenizer, max_tokens)) {
        ASSERT_LE(passage.begin, covered);
        ASSERT_GE(passage.end, covered);
        covered = passage.end;
        const Exact part(view.substr(passage.begin, passage.end - passage.begin));
        ASSERT_FALSE(tokenizer->tokenize(part, max_tokens).truncated);
      }
      ASSERT_EQ(covered, view.size());
    }
  }
}

TEST(Robustness, DamagedFilesAreReadOrRefused) {
  RandomText random(4);
  const std::string whole = mixed_json(Added::kNormalized, true).dump();
  int num_refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = whole;
    for (std::size_t n = 1 + random.below(3); n > 0; --n) {
      const std::size_t at = random.below(text.size());
      switch (random.below(4)) {
        case 0:
          text[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          text.erase(at, 1 + random.below(20));
          break;
        case 2:
          text.insert(at, text.substr(random.below(text.size()), random.below(40)));
          break;
        default:
          text[at] = "{}[]\",:0123456789-truefalsenull"[random.below(31)];
          break;
      }
      if (text.empty()) text = " ";
    }
    try {
      const auto tokenizer = testing_support::load_text(text);
      tokenizer->tokenize("The [X] ab zé  ", tokenizer->num_special_tokens() + 5);
    } catch (const CorruptData&) {
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 1000);
}

}  // namespace
}  // namespace nearlite
