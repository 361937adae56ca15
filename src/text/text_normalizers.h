#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "character_map.h"
#include "unicode_normalize.h"

namespace nearlite {

/// One normalizer of a tokenizer.json. Immutable; may be used by several threads.
class TextNormalizer {
 public:
  virtual ~TextNormalizer() = default;
  /// text: valid UTF-8, and so is the result.
  virtual std::string apply(std::string text) const = 0;
  /// Whether the text before a single space between ASCII letters or digits becomes the same when
  /// what follows is not there.
  virtual bool is_local() const noexcept { return true; }
  /// Whether the first character may vanish so that the text no longer begins where it began.
  virtual bool cuts_begin() const noexcept { return false; }
};

std::unique_ptr<const TextNormalizer> bert_normalizer(const NormalizerOptions& options);
std::unique_ptr<const TextNormalizer> form_normalizer(NormalizationForm form);
std::unique_ptr<const TextNormalizer> lower_case_normalizer();
/// Drops all combining marks; does not decompose first.
std::unique_ptr<const TextNormalizer> strip_accents_normalizer();
std::unique_ptr<const TextNormalizer> strip_normalizer(bool left, bool right);
/// Puts `text` before every text that is not empty.
std::unique_ptr<const TextNormalizer> prepend_normalizer(std::string text);
/// pattern: not empty.
std::unique_ptr<const TextNormalizer> replace_normalizer(std::string pattern, std::string content);
/// The same for a pattern of the list in regex_names(); nothing for another.
std::unique_ptr<const TextNormalizer> replace_regex_normalizer(std::string_view regex,
                                                               std::string content);
std::string replace_regex_names();
/// base64: of a sentencepiece character map. Throws CorruptData.
std::unique_ptr<const TextNormalizer> precompiled_normalizer(std::string_view base64);

}  // namespace nearlite
