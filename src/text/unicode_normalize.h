#pragma once

#include <string>
#include <string_view>

namespace nearlite {

enum class NormalizationForm { kNfd, kNfkd, kNfc, kNfkc };

/// The text in a Unicode normalization form, by the reference library's tables. text: valid UTF-8.
/// Time: linear, times the logarithm of the length of a run of combining marks.
std::string normalized_form(std::string_view text, NormalizationForm form);

}  // namespace nearlite
