#include <algorithm>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/text/tokenizer.h"
#include "wordpiece_tokenizer.h"

namespace nearlite {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20U;
constexpr std::size_t kMaxVocabulary = std::size_t{1} << 20U;
constexpr std::size_t kMaxTokenBytes = 1024;
constexpr std::size_t kMaxWordCharacters = 1000;
constexpr std::size_t kMaxDepth = 32;

/// Builds a JSON value from the events of the parser, except for the members of model.vocab, which
/// it hands over one by one: as a JSON object they would take ten times the memory, and a token
/// that is there twice would not be noticed.
class JsonReader {
 public:
  using OnToken = std::function<void(std::string&& token, const Json& id)>;
  JsonReader(Json& root, OnToken on_token) : root_(root), on_token_(std::move(on_token)) {}

  /// Why parsing ended early; empty if it did not.
  const std::string& problem() const noexcept { return problem_; }

  bool null() { return value(nullptr); }
  bool boolean(bool truth) { return value(truth); }
  bool number_integer(Json::number_integer_t number) { return value(number); }
  bool number_unsigned(Json::number_unsigned_t number) { return value(number); }
  bool number_float(Json::number_float_t number, const std::string&) { return value(number); }
  bool string(std::string& text) { return value(std::move(text)); }
  bool binary(Json::binary_t&) { return false; }  // only in other formats than JSON
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    key_ = std::move(name);
    if (stack_.size() == 1) is_in_model_ = key_ == "model";
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception& error) {
    problem_ = std::string("it is not valid JSON: ") + error.what();
    return false;
  }

 private:
  bool value(Json&& item) {
    if (is_in_vocabulary()) {
      on_token_(std::move(key_), item);
    } else {
      place(std::move(item));
    }
    return true;
  }

  bool open(Json&& container) {
    if (stack_.size() >= kMaxDepth) {
      problem_ = "it is nested more than " + std::to_string(kMaxDepth) + " levels deep";
      return false;
    }
    if (is_in_vocabulary()) on_token_(std::move(key_), container);
    const bool is_vocabulary =
        stack_.size() == 2 && is_in_model_ && key_ == "vocab" && container.is_object();
    stack_.push_back(place(std::move(container)));
    if (is_vocabulary) vocabulary_ = stack_.back();
    return true;
  }

  bool close() {
    if (is_in_vocabulary()) vocabulary_ = nullptr;
    stack_.pop_back();
    return true;
  }

  Json* place(Json&& item) {
    if (stack_.empty()) return &(root_ = std::move(item));
    Json& parent = *stack_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(item));
    parent.push_back(std::move(item));
    return &parent.back();
  }

  bool is_in_vocabulary() const noexcept {
    return vocabulary_ != nullptr && stack_.back() == vocabulary_;
  }

  Json& root_;
  OnToken on_token_;
  std::vector<Json*> stack_;  // the containers that are open
  std::string key_;
  bool is_in_model_ = false;
  const Json* vocabulary_ = nullptr;
  std::string problem_;
};

/// Reads one tokenizer.json; every message names the file and the place in it.
class TokenizerJson {
 public:
  TokenizerJson(const std::filesystem::path& file, const TokenizerOptions& options)
      : file_(file), options_(options) {}

  WordPieceDefinition read() {
    const Json root = parse(read_file(file_, kMaxFileBytes));
    if (!root.is_object()) fail("it is not a JSON object");
    if (root.contains("version") && root["version"] != "1.0") {
      fail("version is " + shown(root["version"]) + ", this build reads \"1.0\"");
    }
    read_model(member(root, "model", "the file"));
    read_normalizer(root.value("normalizer", Json()));
    read_pre_tokenizer(root.value("pre_tokenizer", Json()));
    read_added_tokens(root.value("added_tokens", Json()));
    read_post_processor(root.value("post_processor", Json()));
    return std::move(definition_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw CorruptData("tokenizer " + file_.string() + ": " + message);
  }

  /// A component that only a newer or another program knows: the file is fine, but we cannot follow
  /// it.
  [[noreturn]] void fail_unsupported(const std::string& part, const std::string& type,
                                     const char* known) const {
    fail(part + " " + type + " is not supported; this build knows " + known);
  }

  static std::string shown(const Json& value) {
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return text.size() > 60 ? text.substr(0, 60) + "..." : text;
  }

  Json parse(const std::string& text) {
    Json root;
    JsonReader reader(root, [this](std::string&& token, const Json& id) {
      add_to_vocabulary(std::move(token), id);
    });
    Json::sax_parse(text, &reader);
    if (!reader.problem().empty()) fail(reader.problem());
    return root;
  }

  void add_to_vocabulary(std::string&& token, const Json& id) {
    if (definition_.vocabulary.size() >= kMaxVocabulary) {
      fail("the vocabulary has more than " + std::to_string(kMaxVocabulary) + " tokens");
    }
    if (token.size() > kMaxTokenBytes) {
      fail("a token has " + std::to_string(token.size()) + " bytes, at most " +
           std::to_string(kMaxTokenBytes) + " are allowed");
    }
    if (!is_id(id)) fail_id(id, "the vocabulary gives " + shown(token));
    definition_.vocabulary.push_back({std::move(token), id.get<std::int32_t>()});
  }

  static bool is_id(const Json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() < kMaxVocabulary;
  }
  [[noreturn]] void fail_id(const Json& id, const std::string& what) const {
    fail(what + " the id " + shown(id) + ", an integer from 0 to " +
         std::to_string(kMaxVocabulary - 1) + " was expected");
  }
  std::int32_t checked_id(const Json& id, const std::string& what) const {
    if (!is_id(id)) fail_id(id, what);
    return id.get<std::int32_t>();
  }

  const Json& member(const Json& object, const char* name, const std::string& where) const {
    if (!object.is_object()) fail(where + " is " + shown(object) + ", an object was expected");
    const auto found = object.find(name);
    if (found == object.end()) fail(where + " has no \"" + name + "\"");
    return *found;
  }

  std::string string_member(const Json& object, const char* name, const std::string& where) const {
    const Json& value = member(object, name, where);
    if (!value.is_string())
      fail(where + "." + name + " is " + shown(value) + ", a string was expected");
    return value.get<std::string>();
  }

  bool bool_member(const Json& object, const char* name, const std::string& where) const {
    const Json& value = member(object, name, where);
    if (!value.is_boolean())
      fail(where + "." + name + " is " + shown(value) + ", true or false was expected");
    return value.get<bool>();
  }

  void read_model(const Json& model) {
    // Files of the first versions do not name the type; of the models only WordPiece has this
    // member.
    const bool is_unnamed = model.is_object() && !model.contains("type") &&
                            !model.contains("merges") && model.contains("max_input_chars_per_word");
    const std::string type = is_unnamed ? "WordPiece" : string_member(model, "type", "model");
    if (type != "WordPiece") fail_unsupported("model", type, "WordPiece");
    definition_.continuation = string_member(model, "continuing_subword_prefix", "model");
    const Json& max_characters = member(model, "max_input_chars_per_word", "model");
    if (!max_characters.is_number_integer() || max_characters < 0 ||
        max_characters > kMaxWordCharacters) {
      fail("model.max_input_chars_per_word is " + shown(max_characters) +
           ", an integer from 0 to " + std::to_string(kMaxWordCharacters) + " was expected");
    }
    definition_.max_word_characters = max_characters.get<std::size_t>();
    if (!member(model, "vocab", "model").is_object())
      fail("model.vocab is not an object of tokens and their ids");
    index_vocabulary();
    const std::string unknown = string_member(model, "unk_token", "model");
    const auto found = ids_.find(unknown);
    if (found == ids_.end()) {
      fail("the unknown token " + shown(unknown) + " is not in the vocabulary of " +
           std::to_string(ids_.size()) + " tokens");
    }
    definition_.unknown_id = found->second;
  }

  void index_vocabulary() {
    std::vector<const std::string*> owners(kMaxVocabulary);
    ids_.reserve(definition_.vocabulary.size());
    for (const auto& [token, id] : definition_.vocabulary) {
      if (!ids_.emplace(token, id).second)
        fail("the token " + shown(token) + " is twice in the vocabulary");
      const std::string*& owner = owners[static_cast<std::size_t>(id)];
      if (owner != nullptr) {
        fail("the tokens " + shown(*owner) + " and " + shown(token) + " have the same id " +
             std::to_string(id));
      }
      owner = &token;
      is_taken_[static_cast<std::size_t>(id)] = true;
    }
  }

  void read_normalizer(const Json& normalizer) {
    NormalizerOptions& options = definition_.normalizer;
    if (!normalizer.is_null()) {
      const std::string type = string_member(normalizer, "type", "normalizer");
      if (type != "BertNormalizer") fail_unsupported("normalizer", type, "BertNormalizer");
      options.clean_text = bool_member(normalizer, "clean_text", "normalizer");
      options.handle_chinese_chars = bool_member(normalizer, "handle_chinese_chars", "normalizer");
      options.lower_case = bool_member(normalizer, "lowercase", "normalizer");
      const Json strip = normalizer.value("strip_accents", Json());  // null: as lower case
      options.strip_accents = strip.is_null()
                                  ? options.lower_case
                                  : bool_member(normalizer, "strip_accents", "normalizer");
    }
    options.lower_case_first = options_.lower_case && !options.lower_case;
  }

  void read_pre_tokenizer(const Json& pre_tokenizer) {
    const std::string type =
        pre_tokenizer.is_null() ? "null" : string_member(pre_tokenizer, "type", "pre_tokenizer");
    if (type != "BertPreTokenizer") fail_unsupported("pre_tokenizer", type, "BertPreTokenizer");
  }

  void read_added_tokens(const Json& tokens) {
    if (tokens.is_null()) return;
    if (!tokens.is_array()) fail("added_tokens is " + shown(tokens) + ", an array was expected");
    if (tokens.size() > kMaxVocabulary)
      fail("added_tokens has more than " + std::to_string(kMaxVocabulary) + " entries");
    std::vector<AddedToken> not_special;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string where = "added_tokens[" + std::to_string(i) + "]";
      const Json& json = tokens[i];
      AddedToken token;
      token.content = string_member(json, "content", where);
      token.single_word = bool_member(json, "single_word", where);
      token.lstrip = bool_member(json, "lstrip", where);
      token.rstrip = bool_member(json, "rstrip", where);
      token.normalized = bool_member(json, "normalized", where);
      const bool is_special = bool_member(json, "special", where);
      token.id = checked_id(member(json, "id", where), where + " has");
      if (token.content.empty()) continue;
      if (token.content.size() > kMaxTokenBytes)
        fail(where + ".content is longer than " + std::to_string(kMaxTokenBytes) + " bytes");
      check_added_id(token, where);
      (is_special ? definition_.added_tokens : not_special).push_back(std::move(token));
    }
    // Of two that are equal once they are normalized the first counts, special ones before others.
    std::move(not_special.begin(), not_special.end(), std::back_inserter(definition_.added_tokens));
  }

  /// An added token has the id of the vocabulary, or a new one that nobody else has.
  void check_added_id(const AddedToken& token, const std::string& where) {
    const auto known = ids_.find(token.content);
    if (known != ids_.end() && known->second != token.id) {
      fail(where + " gives " + shown(token.content) + " the id " + std::to_string(token.id) +
           ", the vocabulary gives it " + std::to_string(known->second));
    }
    if (!added_contents_.insert(token.content).second)
      fail(where + ": " + shown(token.content) + " is added twice");
    if (known != ids_.end()) return;
    if (is_taken_[static_cast<std::size_t>(token.id)]) {
      fail(where + " gives " + shown(token.content) + " the id " + std::to_string(token.id) +
           ", which another token has");
    }
    is_taken_[static_cast<std::size_t>(token.id)] = true;
  }

  void read_post_processor(const Json& processor) {
    if (processor.is_null()) return;
    const std::string type = string_member(processor, "type", "post_processor");
    if (type == "TemplateProcessing") {
      read_template(processor);
    } else if (type == "BertProcessing") {
      definition_.ids_before.push_back(token_id_pair(processor, "cls"));
      definition_.ids_behind.push_back(token_id_pair(processor, "sep"));
    } else {
      fail_unsupported("post_processor", type, "TemplateProcessing and BertProcessing");
    }
  }

  /// ["[CLS]", 101]
  std::int32_t token_id_pair(const Json& processor, const char* name) const {
    const Json& pair = member(processor, name, "post_processor");
    const std::string where = std::string("post_processor.") + name;
    if (!pair.is_array() || pair.size() != 2)
      fail(where + " is " + shown(pair) + ", a token and its id were expected");
    return known_id(pair[1], where);
  }

  void read_template(const Json& processor) {
    const Json& parts = member(processor, "single", "post_processor");
    if (!parts.is_array())
      fail("post_processor.single is " + shown(parts) + ", an array was expected");
    std::size_t num_texts = 0;
    for (const Json& part : parts) {
      if (part.is_object() && part.contains("Sequence")) {
        const std::string which =
            string_member(part["Sequence"], "id", "post_processor.single[].Sequence");
        if (which != "A")
          fail("post_processor.single holds the text " + shown(which) + ", only A can be there");
        ++num_texts;
      } else {
        const Json& special = member(part, "SpecialToken", "post_processor.single[]");
        const std::string name =
            string_member(special, "id", "post_processor.single[].SpecialToken");
        append_special(processor, name,
                       num_texts == 0 ? definition_.ids_before : definition_.ids_behind);
      }
    }
    if (num_texts != 1) {
      fail("post_processor.single holds the text " + std::to_string(num_texts) +
           " times, once was expected");
    }
  }

  void append_special(const Json& processor, const std::string& name,
                      std::vector<std::int32_t>& ids) const {
    const Json& tokens = member(processor, "special_tokens", "post_processor");
    const std::string where = "post_processor.special_tokens." + name;
    const Json& list =
        member(member(tokens, name.c_str(), "post_processor.special_tokens"), "ids", where);
    if (!list.is_array() || list.empty() || list.size() > kMaxSpecialIds) {
      fail(where + ".ids is " + shown(list) + ", an array of 1 to " +
           std::to_string(kMaxSpecialIds) + " ids was expected");
    }
    for (const Json& id : list) ids.push_back(known_id(id, where));
    if (ids.size() > kMaxSpecialIds)
      fail("post_processor.single adds more than " + std::to_string(kMaxSpecialIds) + " tokens");
  }

  /// An id that the vocabulary or an added token has: another one would be outside of the model's
  /// embedding table.
  std::int32_t known_id(const Json& json, const std::string& where) const {
    const std::int32_t id = checked_id(json, where + " has");
    if (!is_taken_[static_cast<std::size_t>(id)]) {
      fail(where + " has the id " + std::to_string(id) + ", which no token has");
    }
    return id;
  }

  static constexpr std::size_t kMaxSpecialIds = 16;

  const std::filesystem::path file_;
  const TokenizerOptions options_;
  WordPieceDefinition definition_;
  std::unordered_map<std::string_view, std::int32_t> ids_;          // of the vocabulary
  std::vector<bool> is_taken_ = std::vector<bool>(kMaxVocabulary);  // by id
  std::unordered_set<std::string> added_contents_;
};

}  // namespace

std::unique_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& tokenizer_json,
                                                const TokenizerOptions& options) {
  WordPieceDefinition definition = TokenizerJson(tokenizer_json, options).read();
  try {
    return make_wordpiece_tokenizer(std::move(definition));
  } catch (const CorruptData& error) {
    throw CorruptData("tokenizer " + tokenizer_json.string() + ": " + error.what());
  }
}

}  // namespace nearlite
