#pragma once

#include <string>
#include <string_view>

#include "character_map.h"

namespace nearlite {

struct NormalizedText {
  std::string text;
  std::size_t safe_size = 0;  // bytes that would stay the same if more text followed
};

/// Normalizes a text without splitting it into words, for added tokens that are looked for in
/// normalized text. Throws InvalidArgument at bytes that are not UTF-8; its message counts them
/// from `offset`.
NormalizedText normalize(std::string_view text, const CharacterMap& characters,
                         std::size_t offset = 0);

}  // namespace nearlite
