#include "text_normalizers.h"

#include <algorithm>
#include <array>

#include "added_tokens.h"  // white_space_begin, white_space_end
#include "charsmap.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "normalize.h"
#include "unicode_forms.h"

namespace nearlite {
namespace {

/// BertNormalizer, and Lowercase as one of its switches.
class MapNormalizer final : public TextNormalizer {
 public:
  explicit MapNormalizer(const NormalizerOptions& options) : characters_(options) {}
  std::string apply(std::string text) const override { return normalize(text, characters_).text; }

 private:
  CharacterMap characters_;
};

class FormNormalizer final : public TextNormalizer {
 public:
  explicit FormNormalizer(NormalizationForm form) : form_(form) {}
  std::string apply(std::string text) const override { return normalized_form(text, form_); }

 private:
  NormalizationForm form_;
};

class StripAccents final : public TextNormalizer {
 public:
  std::string apply(std::string text) const override {
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const char32_t code = next_code_point(text, at);
      const bool is_mark = code >= 0x300 && unicode::contains(unicode::kCombiningMarks, code);
      if (!is_mark) result.append(text, begin, at - begin);
    }
    return result;
  }
};

class Strip final : public TextNormalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  std::string apply(std::string text) const override {
    if (right_) text.resize(white_space_begin(text, 0, text.size()));
    if (left_) text.erase(0, white_space_end(text, 0));
    return text;
  }
  bool cuts_begin() const noexcept override { return left_; }

 private:
  bool left_;
  bool right_;
};

class Prepend final : public TextNormalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  std::string apply(std::string text) const override { return text.empty() ? text : text_ + text; }

 private:
  std::string text_;
};

class ReplaceText final : public TextNormalizer {
 public:
  ReplaceText(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string apply(std::string text) const override {
    std::size_t found = text.find(pattern_);
    if (found == std::string::npos) return text;
    std::string result;
    std::size_t at = 0;
    for (; found != std::string::npos; found = text.find(pattern_, at)) {
      result.append(text, at, found - at).append(content_);
      at = found + pattern_.size();
    }
    return result.append(text, at);
  }
  bool is_local() const noexcept override {  // false: it could lie across the space
    return pattern_.find(' ', 1) == std::string::npos || pattern_.front() == ' ';
  }

 private:
  std::string pattern_;
  std::string content_;
};

struct SpaceRegex {
  const char* regex;
  bool any_white_space;  // else only U+0020
  std::size_t least;
};
constexpr std::array kSpaceRegexes = {SpaceRegex{" {2,}", false, 2}, SpaceRegex{" +", false, 1},
                                      SpaceRegex{"\\s+", true, 1}, SpaceRegex{"\\s{2,}", true, 2}};

/// Replaces runs of white space.
class ReplaceSpaces final : public TextNormalizer {
 public:
  ReplaceSpaces(const SpaceRegex& regex, std::string content)
      : regex_(regex), content_(std::move(content)) {}

  std::string apply(std::string text) const override {
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      std::size_t num_spaces = 0;
      std::size_t end = at;  // behind the run
      while (at < text.size() && is_space(next_code_point(text, at))) {
        ++num_spaces;
        end = at;
      }
      if (num_spaces == 0) {
        result.append(text, begin, at - begin);
      } else if (num_spaces >= regex_.least) {
        result += content_;
        at = end;
      } else {
        result.append(text, begin, end - begin);
        at = end;
      }
    }
    return result;
  }

 private:
  bool is_space(char32_t code) const noexcept {
    return code == U' ' ||
           (regex_.any_white_space && unicode::contains(unicode::kPatternSpaces, code));
  }

  SpaceRegex regex_;
  std::string content_;
};

class Precompiled final : public TextNormalizer {
 public:
  explicit Precompiled(std::string_view bytes) : map_(bytes) {}
  std::string apply(std::string text) const override { return map_.apply(text); }

 private:
  Charsmap map_;
};

}  // namespace

std::unique_ptr<const TextNormalizer> bert_normalizer(const NormalizerOptions& options) {
  return std::make_unique<const MapNormalizer>(options);
}

std::unique_ptr<const TextNormalizer> form_normalizer(NormalizationForm form) {
  return std::make_unique<const FormNormalizer>(form);
}

std::unique_ptr<const TextNormalizer> lower_case_normalizer() {
  return bert_normalizer({.lower_case = true});
}

std::unique_ptr<const TextNormalizer> strip_accents_normalizer() {
  return std::make_unique<const StripAccents>();
}

std::unique_ptr<const TextNormalizer> strip_normalizer(bool left, bool right) {
  return std::make_unique<const Strip>(left, right);
}

std::unique_ptr<const TextNormalizer> prepend_normalizer(std::string text) {
  return std::make_unique<const Prepend>(std::move(text));
}

std::unique_ptr<const TextNormalizer> replace_normalizer(std::string pattern, std::string content) {
  return std::make_unique<const ReplaceText>(std::move(pattern), std::move(content));
}

std::unique_ptr<const TextNormalizer> replace_regex_normalizer(std::string_view regex,
                                                               std::string content) {
  for (const SpaceRegex& known : kSpaceRegexes) {
    if (regex == known.regex)
      return std::make_unique<const ReplaceSpaces>(known, std::move(content));
  }
  return nullptr;
}

std::string replace_regex_names() {
  std::string names;
  for (const SpaceRegex& known : kSpaceRegexes) {
    names += (names.empty() ? "\"" : ", \"") + std::string(known.regex) + "\"";
  }
  return names;
}

std::unique_ptr<const TextNormalizer> precompiled_normalizer(std::string_view base64) {
  const auto bytes = decode_base64(base64);
  if (!bytes) throw CorruptData("the character map is not base64");
  return std::make_unique<const Precompiled>(*bytes);
}

}  // namespace nearlite
