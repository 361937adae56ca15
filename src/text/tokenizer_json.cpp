#include <nlohmann/json.hpp>
#include <optional>
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
constexpr int kMaxDepth = 32;

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

  /// The vocabulary goes straight into the definition: as a JSON object it would take ten times the
  /// memory, and an object would hide that a token is there twice.
  Json parse(const std::string& text) {
    bool in_model = false;
    bool in_vocabulary = false;
    std::optional<std::string> token;
    const auto keep = [&](int depth, Json::parse_event_t event, Json& value) {
      if (depth > kMaxDepth)
        fail("it is nested more than " + std::to_string(kMaxDepth) + " levels deep");
      if (event == Json::parse_event_t::key) {
        if (depth == 1) in_model = value == "model";
        if (depth <= 2) in_vocabulary = depth == 2 && in_model && value == "vocab";
        if (depth == 3 && in_vocabulary) token = std::move(value.get_ref<std::string&>());
      } else if (depth == 3 && token) {
        add_to_vocabulary(*std::exchange(token, std::nullopt), value);
        return false;
      }
      return true;
    };
    try {
      return Json::parse(text, keep);
    } catch (const Json::exception& error) {
      fail(std::string("it is not valid JSON: ") + error.what());
    }
  }

  void add_to_vocabulary(const std::string& token, const Json& id) {
    if (definition_.vocabulary.size() >= kMaxVocabulary) {
      fail("the vocabulary has more than " + std::to_string(kMaxVocabulary) + " tokens");
    }
    if (token.size() > kMaxTokenBytes) {
      fail("a token has " + std::to_string(token.size()) + " bytes, at most " +
           std::to_string(kMaxTokenBytes) + " are allowed");
    }
    definition_.vocabulary.push_back(
        {token, checked_id(id, "the vocabulary gives " + shown(token))});
  }

  std::int32_t checked_id(const Json& id, const std::string& what) const {
    if (!id.is_number_integer() || id < 0 || id >= kMaxVocabulary) {
      fail(what + " the id " + shown(id) + ", an integer from 0 to " +
           std::to_string(kMaxVocabulary - 1) + " was expected");
    }
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
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string where = "added_tokens[" + std::to_string(i) + "]";
      const Json& json = tokens[i];
      AddedToken token;
      token.content = string_member(json, "content", where);
      token.single_word = bool_member(json, "single_word", where);
      token.lstrip = bool_member(json, "lstrip", where);
      token.rstrip = bool_member(json, "rstrip", where);
      token.normalized = bool_member(json, "normalized", where);
      bool_member(json, "special", where);
      token.id = checked_id(member(json, "id", where), where + " has");
      if (token.content.empty()) continue;
      if (token.content.size() > kMaxTokenBytes)
        fail(where + ".content is longer than " + std::to_string(kMaxTokenBytes) + " bytes");
      check_added_id(token, where);
      definition_.added_tokens.push_back(std::move(token));
    }
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
    const std::string where = "post_processor.special_tokens";
    const Json& token =
        member(member(processor, "special_tokens", "post_processor"), name.c_str(), where);
    const Json& list = member(token, "ids", where + "." + name);
    if (!list.is_array() || list.empty() || list.size() > kMaxSpecialIds) {
      fail(where + "." + name + ".ids is " + shown(list) + ", an array of 1 to " +
           std::to_string(kMaxSpecialIds) + " ids was expected");
    }
    for (const Json& id : list) ids.push_back(known_id(id, where + "." + name));
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
