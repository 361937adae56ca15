#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/text/tokenizer.h"

/// Small tokenizers for the tests of this layer.
namespace nearlite::testing_support {

/// A file with the given content, removed at the end of the scope.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view content) {
    static std::atomic<int> number = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("nearlite-text-" + std::to_string(::getpid()) + "-" + std::to_string(number++));
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// A complete tokenizer.json over these tokens; their place is their id. The first is the unknown
/// token.
inline nlohmann::json tokenizer_json(const std::vector<std::string>& tokens) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (std::size_t i = 0; i < tokens.size(); ++i) vocabulary[tokens[i]] = i;
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer",
           {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", true},
            {"strip_accents", nullptr},
            {"lowercase", true}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", tokens.at(0)},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100},
            {"vocab", vocabulary}}}};
}

inline nlohmann::json added_token(std::string_view content, int id) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

/// [CLS] text [SEP], with these ids.
inline nlohmann::json template_processing(int cls, int sep) {
  const auto special = [](const char* name) {
    return nlohmann::json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  };
  const auto token = [](const char* name, int id) {
    return nlohmann::json{{"id", name}, {"ids", {id}}, {"tokens", {name}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single",
           {special("[CLS]"), {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, special("[SEP]")}},
          {"pair", nlohmann::json::array()},
          {"special_tokens", {{"[CLS]", token("[CLS]", cls)}, {"[SEP]", token("[SEP]", sep)}}}};
}

inline std::unique_ptr<const Tokenizer> load_text(std::string_view json,
                                                  const TokenizerOptions& options = {}) {
  const TemporaryFile file(json);
  return load_tokenizer(file.path(), options);
}

inline std::unique_ptr<const Tokenizer> load(const nlohmann::json& json,
                                             const TokenizerOptions& options = {}) {
  return load_text(json.dump(), options);
}

}  // namespace nearlite::testing_support
