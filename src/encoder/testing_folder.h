// For tests: sentence-transformers folders with a small random BERT, and what they must give.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../model/testing/random_bert.h"

namespace nearlite::testing {

inline constexpr std::int32_t kCls = 2;
inline constexpr std::int32_t kSep = 3;

/// A folder whose vocabulary is the special tokens and the words "w5" to "w49".
class ModelFixture {
 public:
  explicit ModelFixture(BertShape shape = {}, unsigned seed = 1) : bert_(std::move(shape), seed) {
    bert_.write(path());
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (std::size_t i = 5; i < bert_.shape().vocabulary; ++i) {
      vocabulary += "w" + std::to_string(i) + "\n";
    }
    write("vocab.txt", vocabulary);
    write("tokenizer_config.json", R"({"do_lower_case": true})");
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  std::filesystem::path digests() const { return cache_.path() / "digests.json"; }
  const RandomBert& bert() const { return bert_; }
  void write(const std::string& name, const std::string& content) const {
    write_file(path() / name, content);
  }

  /// modules.json in the old or the new spelling of sentence-transformers.
  void write_modules(const std::vector<std::string>& kinds, bool new_spelling = false) const {
    std::string list;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      const std::string& kind = kinds[i];
      std::string type = "sentence_transformers.models." + kind;
      if (new_spelling) {
        const std::string lower(1, static_cast<char>(kind[0] + 32));
        type = (kind == "Pooling" ? "sentence_transformers.sentence_transformer.modules."
                                  : "sentence_transformers.base.modules.") +
               lower + kind.substr(1) + "." + kind;
      }
      const std::string path = i == 0 ? "" : std::to_string(i) + "_" + kind;
      list += std::string(i > 0 ? "," : "") + R"({"idx":)" + std::to_string(i) + R"(,"name":")" +
              std::to_string(i) + R"(","path":")" + path + R"(","type":")" + type + R"("})";
    }
    write("modules.json", "[" + list + "]");
  }

  /// The token ids of words "w5 w7 ..." as the model reads them.
  static std::vector<std::int32_t> ids(const std::string& text) {
    std::vector<std::int32_t> result{kCls};
    std::istringstream words(text);
    for (std::string word; words >> word;) result.push_back(std::stoi(word.substr(1)));
    result.push_back(kSep);
    return result;
  }

 private:
  TemporaryFolder folder_;
  TemporaryFolder cache_;
  RandomBert bert_;
};

}  // namespace nearlite::testing
