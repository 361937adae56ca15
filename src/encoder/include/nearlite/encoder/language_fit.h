#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "nearlite/encoder/text_encoder.h"

namespace nearlite {

/// How well a model's tokenizer, and what its card says of languages, fit some texts.
struct LanguageFit {
  double other_letters = 0;      // share of letters that are not Latin
  double unknown_tokens = 0;     // share among the tokens of texts in other scripts
  double tokens_per_letter = 0;  // of these texts: 1 and more means that they are spelled out
  std::string warning;           // one line that names a model that fits; blank if this one does
};

/// Reads the tokenizer only. The same texts give the same answer. Texts must be valid UTF-8; of a
/// long one its beginning is looked at. Throws as TextEncoder::info().
LanguageFit language_fit(const TextEncoder& encoder, std::span<const std::string_view> texts);

}  // namespace nearlite
