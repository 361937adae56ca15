#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/text/tokenizer.h"
#include "pipeline_tokenizer.h"
#include "tokenizer_json_parts.h"
#include "tokenizer_json_values.h"
#include "wordpiece_tokenizer.h"

namespace nearlite {
namespace {

constexpr std::size_t kMaxWordCharacters = 1000;

/// Reads one tokenizer.json.
class TokenizerJson {
 public:
  TokenizerJson(const std::filesystem::path& file, const TokenizerOptions& options)
      : values_(file), options_(options) {}

  std::unique_ptr<const Tokenizer> read() {
    Json root;
    read_tokenizer_json(values_, root, lists_);
    if (root.contains("version") && root["version"] != "1.0") {
      values_.fail("version is " + JsonValues::shown(root["version"]) +
                   ", this build reads \"1.0\"");
    }
    const Json& model = values_.member(root, "model", "the file");
    read_model_type(model);
    NormalizerList normalizers = read_normalizers(values_, root.value("normalizer", Json()));
    PreTokenizerList pre_tokenizers =
        read_pre_tokenizers(values_, root.value("pre_tokenizer", Json()));
    index_vocabulary(model);
    read_unknown(model);
    read_added_tokens(root.value("added_tokens", Json()));
    SpecialIds special =
        read_post_processors(values_, root.value("post_processor", Json()), has_token_);
    if (!options_.special_tokens) special = {};
    TokenizerParts parts{.normalizers = normalizers.names,
                         .pre_tokenizers = pre_tokenizers.names,
                         .model = type_,
                         .post_processors = special.names};
    if (type_ == "WordPiece" && normalizers.bert && pre_tokenizers.is_bert) {
      return make_wordpiece_tokenizer(
          wordpiece_definition(model, *normalizers.bert, std::move(special), std::move(parts)));
    }
    return make_pipeline_tokenizer({.normalizers = all_steps(std::move(normalizers)),
                                    .pre_tokenizers = std::move(pre_tokenizers.steps),
                                    .model = subword_model(model),
                                    .unknown_id = unknown_id_,
                                    .added_tokens = std::move(added_tokens_),
                                    .ids_before = std::move(special.before),
                                    .ids_behind = std::move(special.behind),
                                    .vocabulary_size = vocabulary_size(),
                                    .parts = std::move(parts)});
  }

 private:
  void read_model_type(const Json& model) {
    // Files of the first versions do not name the type; of the models only WordPiece has this
    // member.
    const bool is_unnamed = model.is_object() && !model.contains("type") &&
                            !model.contains("merges") && model.contains("max_input_chars_per_word");
    type_ = is_unnamed ? "WordPiece" : values_.string_member(model, "type", "model");
    if (type_ != "WordPiece" && type_ != "Unigram" && type_ != "BPE" && type_ != "WordLevel") {
      values_.fail_unsupported("model", type_, "BPE, Unigram, WordLevel and WordPiece");
    }
  }

  void index_vocabulary(const Json& model) {
    const Json& vocabulary = values_.member(model, "vocab", "model");
    if (type_ == "Unigram") {
      if (!vocabulary.is_array()) values_.fail("model.vocab is not a list of tokens and scores");
      ids_.reserve(lists_.scored.size());
      for (std::size_t i = 0; i < lists_.scored.size(); ++i) {
        ids_[lists_.scored[i].first] = static_cast<std::int32_t>(i);
        has_token_[i] = true;
      }
      return;
    }
    if (!vocabulary.is_object())
      values_.fail("model.vocab is not an object of tokens and their ids");
    std::vector<const std::string*> owners(kMaxVocabulary);
    ids_.reserve(lists_.vocabulary.size());
    for (const auto& [token, id] : lists_.vocabulary) {
      if (!ids_.emplace(token, id).second)
        values_.fail("the token " + JsonValues::shown(token) + " is twice in the vocabulary");
      const std::string*& owner = owners[static_cast<std::size_t>(id)];
      if (owner != nullptr) {
        values_.fail("the tokens " + JsonValues::shown(*owner) + " and " +
                     JsonValues::shown(token) + " have the same id " + std::to_string(id));
      }
      owner = &token;
      has_token_[static_cast<std::size_t>(id)] = true;
    }
  }

  void read_unknown(const Json& model) {
    if (type_ == "Unigram") {
      const Json& id = values_.member(model, "unk_id", "model");
      if (!JsonValues::is_id(id) || id.get<std::size_t>() >= lists_.scored.size()) {
        values_.fail("model.unk_id is " + JsonValues::shown(id) + ", the place of one of the " +
                     std::to_string(lists_.scored.size()) + " tokens was expected");
      }
      unknown_id_ = id.get<std::int32_t>();
      return;
    }
    if (type_ == "BPE" && values_.string_member(model, "unk_token", "model", "").empty()) return;
    const std::string unknown = values_.string_member(model, "unk_token", "model");
    const auto found = ids_.find(unknown);
    if (found == ids_.end()) {
      values_.fail("the unknown token " + JsonValues::shown(unknown) +
                   " is not in the vocabulary of " + std::to_string(ids_.size()) + " tokens");
    }
    unknown_id_ = found->second;
  }

  void read_added_tokens(const Json& tokens) {
    if (tokens.is_null()) return;
    if (!tokens.is_array())
      values_.fail("added_tokens is " + JsonValues::shown(tokens) + ", an array was expected");
    if (tokens.size() > kMaxVocabulary)
      values_.fail("added_tokens has more than " + std::to_string(kMaxVocabulary) + " entries");
    std::vector<AddedToken> not_special;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string where = "added_tokens[" + std::to_string(i) + "]";
      const Json& json = tokens[i];
      AddedToken token;
      token.content = values_.string_member(json, "content", where);
      token.single_word = values_.bool_member(json, "single_word", where);
      token.lstrip = values_.bool_member(json, "lstrip", where);
      token.rstrip = values_.bool_member(json, "rstrip", where);
      token.normalized = values_.bool_member(json, "normalized", where);
      const bool is_special = values_.bool_member(json, "special", where);
      token.id = values_.checked_id(values_.member(json, "id", where), where + " has");
      if (token.content.empty()) continue;
      if (token.content.size() > kMaxTokenBytes)
        values_.fail(where + ".content is longer than " + std::to_string(kMaxTokenBytes) +
                     " bytes");
      check_added_id(token, where);
      (is_special ? added_tokens_ : not_special).push_back(std::move(token));
    }
    // Of two that are equal once they are normalized the first counts, special ones before others.
    std::move(not_special.begin(), not_special.end(), std::back_inserter(added_tokens_));
  }

  /// An added token has the id of the vocabulary, or a new one that nobody else has.
  void check_added_id(const AddedToken& token, const std::string& where) {
    const auto known = ids_.find(token.content);
    if (known != ids_.end() && known->second != token.id) {
      values_.fail(where + " gives " + JsonValues::shown(token.content) + " the id " +
                   std::to_string(token.id) + ", the vocabulary gives it " +
                   std::to_string(known->second));
    }
    if (!added_contents_.insert(token.content).second)
      values_.fail(where + ": " + JsonValues::shown(token.content) + " is added twice");
    if (known != ids_.end()) return;
    if (has_token_[static_cast<std::size_t>(token.id)]) {
      values_.fail(where + " gives " + JsonValues::shown(token.content) + " the id " +
                   std::to_string(token.id) + ", which another token has");
    }
    has_token_[static_cast<std::size_t>(token.id)] = true;
  }

  std::size_t vocabulary_size() const {
    const auto last = std::find(has_token_.rbegin(), has_token_.rend(), true);
    return static_cast<std::size_t>(has_token_.rend() - last);
  }

  std::size_t max_word_characters(const Json& model) const {
    const Json& most = values_.member(model, "max_input_chars_per_word", "model");
    if (!most.is_number_integer() || most < 0 || most > kMaxWordCharacters) {
      values_.fail("model.max_input_chars_per_word is " + JsonValues::shown(most) +
                   ", an integer from 0 to " + std::to_string(kMaxWordCharacters) +
                   " was expected");
    }
    return most.get<std::size_t>();
  }

  WordPieceDefinition wordpiece_definition(const Json& model, NormalizerOptions normalizer,
                                           SpecialIds special, TokenizerParts parts) {
    normalizer.lower_case_first = options_.lower_case && !normalizer.lower_case;
    return {.normalizer = normalizer,
            .vocabulary = std::move(lists_.vocabulary),
            .unknown_id = *unknown_id_,
            .continuation = values_.string_member(model, "continuing_subword_prefix", "model"),
            .max_word_characters = max_word_characters(model),
            .added_tokens = std::move(added_tokens_),
            .ids_before = std::move(special.before),
            .ids_behind = std::move(special.behind),
            .parts = std::move(parts)};
  }

  std::vector<std::unique_ptr<const TextNormalizer>> all_steps(NormalizerList normalizers) const {
    auto steps = std::move(normalizers.steps);
    if (options_.lower_case && !normalizers.lower_cases)
      steps.insert(steps.begin(), lower_case_normalizer());
    return steps;
  }

  std::unique_ptr<const SubwordModel> subword_model(const Json& model) {
    if (type_ == "WordPiece") {
      return wordpiece_model(lists_.vocabulary,
                             values_.string_member(model, "continuing_subword_prefix", "model"),
                             *unknown_id_, max_word_characters(model));
    }
    if (type_ == "WordLevel") return word_level_model(lists_.vocabulary, *unknown_id_);
    if (type_ == "Unigram") {
      return unigram_model(
          {.vocabulary = std::move(lists_.scored),
           .unknown_id = *unknown_id_,
           .byte_fallback = values_.bool_member(model, "byte_fallback", "model", false)});
    }
    return bpe(model);
  }

  std::unique_ptr<const SubwordModel> bpe(const Json& model) {
    if (!values_.member(model, "merges", "model").is_array())
      values_.fail("model.merges is not a list");
    const auto dropout = model.find("dropout");
    if (dropout != model.end() && !dropout->is_null() && *dropout != 0.0) {
      values_.fail("model.dropout is " + JsonValues::shown(*dropout) +
                   ": tokens that are left to chance are not supported");
    }
    const auto flag = [&](const char* name) {
      return values_.bool_member(model, name, "model", false);
    };
    const auto text = [&](const char* name) {
      return values_.string_member(model, name, "model", "");
    };
    return bpe_model({.vocabulary = std::move(lists_.vocabulary),
                      .merges = std::move(lists_.merges),
                      .unknown_id = unknown_id_,
                      .continuation = text("continuing_subword_prefix"),
                      .end_of_word = text("end_of_word_suffix"),
                      .fuse_unknown = flag("fuse_unk"),
                      .byte_fallback = flag("byte_fallback"),
                      .ignore_merges = flag("ignore_merges")});
  }

  const JsonValues values_;
  const TokenizerOptions options_;
  TokenizerLists lists_;
  std::string type_;  // of the model
  std::optional<std::int32_t> unknown_id_;
  std::vector<AddedToken> added_tokens_;
  std::unordered_map<std::string_view, std::int32_t> ids_;           // of the vocabulary
  std::vector<bool> has_token_ = std::vector<bool>(kMaxVocabulary);  // by id
  std::unordered_set<std::string> added_contents_;
};

}  // namespace

std::unique_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& tokenizer_json,
                                                const TokenizerOptions& options) {
  try {
    return TokenizerJson(tokenizer_json, options).read();
  } catch (const CorruptData& error) {
    const std::string message = error.what();
    const std::string where = "tokenizer " + tokenizer_json.string() + ": ";
    if (message.starts_with(where)) throw;
    throw CorruptData(where + message);
  }
}

}  // namespace nearlite
