#pragma once

#include <string_view>

namespace nearlite {

/// Shannon entropy of the bytes of a text, in bits per byte: 0 for an empty text or one repeated
/// byte, at most 8. Prose has about 4, random base64 up to 6.
double shannon_entropy(std::string_view text);

}  // namespace nearlite
