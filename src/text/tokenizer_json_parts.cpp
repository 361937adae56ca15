#include "tokenizer_json_parts.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::size_t kMaxSteps = 64;

std::string type_of(const JsonValues& values, const Json& part, const std::string& where) {
  return values.string_member(part, "type", where);
}

/// Calls read(part, where) for the part, or for each part of a Sequence that it is.
void for_each_part(const JsonValues& values, const Json& part, const std::string& where,
                   const char* list_name,
                   const std::function<void(const Json&, const std::string&)>& read) {
  if (part.is_null()) return;
  if (type_of(values, part, where) != "Sequence") return read(part, where);
  const Json& list = values.array_member(part, list_name, where);
  if (list.size() > kMaxSteps) {
    values.fail(where + "." + list_name + " has more than " + std::to_string(kMaxSteps) + " parts");
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    for_each_part(values, list[i], where + "." + list_name + "[" + std::to_string(i) + "]",
                  list_name, read);
  }
}

/// {"String": "x"} or {"Regex": "x"}, or the string itself as in old files.
struct PatternText {
  std::string text;
  bool is_regex = false;
};
PatternText read_pattern(const JsonValues& values, const Json& part, const std::string& where) {
  const Json& pattern = values.member(part, "pattern", where);
  PatternText result;
  if (pattern.is_string()) {
    result.text = pattern.get<std::string>();
  } else {
    result.is_regex = pattern.is_object() && pattern.contains("Regex");
    result.text =
        values.string_member(pattern, result.is_regex ? "Regex" : "String", where + ".pattern");
  }
  if (result.text.empty()) values.fail(where + ".pattern is empty");
  return result;
}

constexpr const char* kNormalizers =
    "BertNormalizer, Lowercase, NFC, NFD, NFKC, NFKD, Precompiled, Prepend, Replace, Sequence, "
    "Strip and StripAccents";

NormalizerOptions read_bert_options(const JsonValues& values, const Json& part,
                                    const std::string& where) {
  NormalizerOptions options;
  options.clean_text = values.bool_member(part, "clean_text", where);
  options.handle_chinese_chars = values.bool_member(part, "handle_chinese_chars", where);
  options.lower_case = values.bool_member(part, "lowercase", where);
  // null: as lower case
  options.strip_accents = values.bool_member(part, "strip_accents", where, options.lower_case);
  return options;
}

std::unique_ptr<const TextNormalizer> read_replace(const JsonValues& values, const Json& part,
                                                   const std::string& where) {
  const PatternText pattern = read_pattern(values, part, where);
  const std::string content = values.string_member(part, "content", where);
  if (!pattern.is_regex) return replace_normalizer(pattern.text, content);
  auto step = replace_regex_normalizer(pattern.text, content);
  if (!step) {
    values.fail(where + ".pattern: the regular expression " + JsonValues::shown(pattern.text) +
                " is not supported; this build knows " + replace_regex_names());
  }
  return step;
}

std::unique_ptr<const TextNormalizer> read_precompiled(const JsonValues& values, const Json& part,
                                                       const std::string& where) {
  const std::string map = values.string_member(part, "precompiled_charsmap", where);
  try {
    return precompiled_normalizer(map);
  } catch (const CorruptData& error) {
    values.fail(where + ": " + error.what());
  }
}

std::unique_ptr<const TextNormalizer> read_normalizer(const JsonValues& values, const Json& part,
                                                      const std::string& type,
                                                      const std::string& where) {
  if (type == "BertNormalizer") return bert_normalizer(read_bert_options(values, part, where));
  if (type == "Lowercase") return lower_case_normalizer();
  if (type == "NFC") return form_normalizer(NormalizationForm::kNfc);
  if (type == "NFD") return form_normalizer(NormalizationForm::kNfd);
  if (type == "NFKC") return form_normalizer(NormalizationForm::kNfkc);
  if (type == "NFKD") return form_normalizer(NormalizationForm::kNfkd);
  if (type == "StripAccents") return strip_accents_normalizer();
  if (type == "Strip") {
    return strip_normalizer(values.bool_member(part, "strip_left", where),
                            values.bool_member(part, "strip_right", where));
  }
  if (type == "Prepend") return prepend_normalizer(values.string_member(part, "prepend", where));
  if (type == "Replace") return read_replace(values, part, where);
  if (type == "Precompiled") return read_precompiled(values, part, where);
  values.fail_unsupported("normalizer", type, kNormalizers);
}

constexpr const char* kPreTokenizers =
    "BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split, Whitespace and "
    "WhitespaceSplit";

SplitBehavior read_behavior(const JsonValues& values, const Json& part, const std::string& where,
                            const char* absent) {
  const std::string name = absent == nullptr
                               ? values.string_member(part, "behavior", where)
                               : values.string_member(part, "behavior", where, absent);
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  values.fail_unsupported(where + ".behavior", name,
                          "Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous");
}

std::unique_ptr<const PreTokenizer> read_split(const JsonValues& values, const Json& part,
                                               const std::string& where) {
  const PatternText text = read_pattern(values, part, where);
  auto pattern = text.is_regex ? regex_pattern(text.text) : literal_pattern(text.text);
  if (!pattern) {
    values.fail(where + ".pattern: the regular expression " + JsonValues::shown(text.text) +
                " is not supported; this build knows those of GPT-2, cl100k and Qwen, and \\s+");
  }
  return split_pre_tokenizer(std::move(pattern), read_behavior(values, part, where, nullptr),
                             values.bool_member(part, "invert", where, false));
}

std::unique_ptr<const PreTokenizer> read_metaspace(const JsonValues& values, const Json& part,
                                                   const std::string& where) {
  const std::string replacement = values.string_member(part, "replacement", where);
  if (replacement.empty() || replacement.size() > 4) {
    values.fail(where + ".replacement is " + JsonValues::shown(replacement) +
                ", one character was expected");
  }
  const std::string scheme = values.string_member(part, "prepend_scheme", where, "always");
  const bool adds_prefix = values.bool_member(part, "add_prefix_space", where, true);
  const bool has_scheme = part.contains("prepend_scheme");
  if (!adds_prefix && has_scheme && scheme != "never") {
    values.fail(where + ": \"add_prefix_space\" is false but \"prepend_scheme\" is " +
                JsonValues::shown(scheme));
  }
  PrependScheme prepends = PrependScheme::kAlways;
  if (scheme == "first") {
    prepends = PrependScheme::kFirst;
  } else if (scheme == "never" || !adds_prefix) {
    prepends = PrependScheme::kNever;
  } else if (scheme != "always") {
    values.fail_unsupported(where + ".prepend_scheme", scheme, "always, first and never");
  }
  return metaspace_pre_tokenizer(replacement, prepends,
                                 values.bool_member(part, "split", where, true));
}

void add_pre_tokenizer(const JsonValues& values, const Json& part, const std::string& type,
                       const std::string& where,
                       std::vector<std::unique_ptr<const PreTokenizer>>& steps) {
  const auto split = [&](std::unique_ptr<const Pattern> pattern, SplitBehavior behavior,
                         bool invert) {
    steps.push_back(split_pre_tokenizer(std::move(pattern), behavior, invert));
  };
  if (type == "BertPreTokenizer") {
    split(class_pattern(CharacterClass::kWhiteSpace), SplitBehavior::kRemoved, false);
    split(class_pattern(CharacterClass::kPunctuation), SplitBehavior::kIsolated, false);
  } else if (type == "WhitespaceSplit") {
    split(class_pattern(CharacterClass::kWhiteSpace), SplitBehavior::kRemoved, false);
  } else if (type == "Whitespace") {
    split(word_pattern(), SplitBehavior::kRemoved, true);
  } else if (type == "Punctuation") {
    split(class_pattern(CharacterClass::kPunctuation),
          read_behavior(values, part, where, "Isolated"), false);
  } else if (type == "Digits") {
    const bool alone = values.bool_member(part, "individual_digits", where, false);
    split(class_pattern(CharacterClass::kNumeric),
          alone ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false);
  } else if (type == "Split") {
    steps.push_back(read_split(values, part, where));
  } else if (type == "Metaspace") {
    steps.push_back(read_metaspace(values, part, where));
  } else if (type == "ByteLevel") {
    steps.push_back(byte_level_pre_tokenizer(values.bool_member(part, "add_prefix_space", where),
                                             values.bool_member(part, "use_regex", where, true)));
  } else {
    values.fail_unsupported("pre_tokenizer", type, kPreTokenizers);
  }
}

/// Adds the special tokens of one post-processor around those of the ones before it.
class SpecialReader {
 public:
  SpecialReader(const JsonValues& values, const std::vector<bool>& has_token, SpecialIds& result)
      : values_(values), has_token_(has_token), result_(result) {}

  void read(const Json& processor, const std::string& where) {
    const std::string type = type_of(values_, processor, where);
    std::vector<std::int32_t> before;
    std::vector<std::int32_t> behind;
    if (type == "TemplateProcessing") {
      read_template(processor, where, before, behind);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      before.push_back(token_id_pair(processor, "cls", where));
      behind.push_back(token_id_pair(processor, "sep", where));
    } else if (type != "ByteLevel") {  // which only moves offsets
      values_.fail_unsupported(
          "post_processor", type,
          "BertProcessing, ByteLevel, RobertaProcessing, Sequence and TemplateProcessing");
    }
    result_.before.insert(result_.before.begin(), before.begin(), before.end());
    result_.behind.insert(result_.behind.end(), behind.begin(), behind.end());
    result_.names.push_back(type);
    if (std::max(result_.before.size(), result_.behind.size()) > kMaxSpecialIds)
      values_.fail(where + " adds more than " + std::to_string(kMaxSpecialIds) + " tokens");
  }

 private:
  /// ["[CLS]", 101]
  std::int32_t token_id_pair(const Json& processor, const char* name,
                             const std::string& where) const {
    const Json& pair = values_.member(processor, name, where);
    const std::string place = where + "." + name;
    if (!pair.is_array() || pair.size() != 2) {
      values_.fail(place + " is " + JsonValues::shown(pair) + ", a token and its id were expected");
    }
    return known_id(pair[1], place);
  }

  void read_template(const Json& processor, const std::string& where,
                     std::vector<std::int32_t>& before, std::vector<std::int32_t>& behind) const {
    const Json& parts = values_.array_member(processor, "single", where);
    std::size_t num_texts = 0;
    for (const Json& part : parts) {
      if (part.is_object() && part.contains("Sequence")) {
        const std::string which =
            values_.string_member(part["Sequence"], "id", where + ".single[].Sequence");
        if (which != "A") {
          values_.fail(where + ".single holds the text " + JsonValues::shown(which) +
                       ", only A can be there");
        }
        ++num_texts;
      } else {
        const Json& special = values_.member(part, "SpecialToken", where + ".single[]");
        const std::string name =
            values_.string_member(special, "id", where + ".single[].SpecialToken");
        append_special(processor, name, where, num_texts == 0 ? before : behind);
      }
    }
    if (num_texts != 1) {
      values_.fail(where + ".single holds the text " + std::to_string(num_texts) +
                   " times, once was expected");
    }
  }

  void append_special(const Json& processor, const std::string& name, const std::string& where,
                      std::vector<std::int32_t>& ids) const {
    const Json& tokens = values_.member(processor, "special_tokens", where);
    const std::string place = where + ".special_tokens." + name;
    const Json& list = values_.member(
        values_.member(tokens, name.c_str(), where + ".special_tokens"), "ids", place);
    if (!list.is_array() || list.empty() || list.size() > kMaxSpecialIds) {
      values_.fail(place + ".ids is " + JsonValues::shown(list) + ", an array of 1 to " +
                   std::to_string(kMaxSpecialIds) + " ids was expected");
    }
    for (const Json& id : list) ids.push_back(known_id(id, place));
    if (ids.size() > kMaxSpecialIds)
      values_.fail(where + ".single adds more than " + std::to_string(kMaxSpecialIds) + " tokens");
  }

  /// An id that the vocabulary or an added token has: another one would be outside of the model's
  /// embedding table.
  std::int32_t known_id(const Json& json, const std::string& where) const {
    const std::int32_t id = values_.checked_id(json, where + " has");
    if (!has_token_[static_cast<std::size_t>(id)]) {
      values_.fail(where + " has the id " + std::to_string(id) + ", which no token has");
    }
    return id;
  }

  static constexpr std::size_t kMaxSpecialIds = 16;

  const JsonValues& values_;
  const std::vector<bool>& has_token_;
  SpecialIds& result_;
};

}  // namespace

NormalizerList read_normalizers(const JsonValues& values, const Json& normalizer) {
  NormalizerList result;
  std::optional<NormalizerOptions> bert;
  for_each_part(values, normalizer, "normalizer", "normalizers",
                [&](const Json& part, const std::string& where) {
                  const std::string type = type_of(values, part, where);
                  result.steps.push_back(read_normalizer(values, part, type, where));
                  result.names.push_back(type);
                  result.lower_cases = result.lower_cases || type == "Lowercase";
                  if (type != "BertNormalizer") return;
                  bert = read_bert_options(values, part, where);
                  result.lower_cases = result.lower_cases || bert->lower_case;
                });
  if (result.steps.empty()) result.bert = NormalizerOptions{};
  if (result.steps.size() == 1) result.bert = bert;
  return result;
}

PreTokenizerList read_pre_tokenizers(const JsonValues& values, const Json& pre_tokenizer) {
  PreTokenizerList result;
  for_each_part(values, pre_tokenizer, "pre_tokenizer", "pretokenizers",
                [&](const Json& part, const std::string& where) {
                  const std::string type = type_of(values, part, where);
                  add_pre_tokenizer(values, part, type, where, result.steps);
                  result.names.push_back(type);
                });
  result.is_bert = result.names == std::vector<std::string>{"BertPreTokenizer"};
  return result;
}

SpecialIds read_post_processors(const JsonValues& values, const Json& processor,
                                const std::vector<bool>& has_token) {
  SpecialIds result;
  SpecialReader reader(values, has_token, result);
  for_each_part(values, processor, "post_processor", "processors",
                [&](const Json& part, const std::string& where) { reader.read(part, where); });
  return result;
}

}  // namespace nearlite
