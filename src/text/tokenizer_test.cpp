#include "nearlite/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "nearlite/base/error.h"
#include "text_test_support.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing_support::added_token;
using testing_support::load;
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

}  // namespace
}  // namespace nearlite
