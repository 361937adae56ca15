#pragma once

#include <string_view>
#include <vector>

namespace nearlite {

/// The pieces of a text that the table of words can look up one by one: runs of letters and digits,
/// and pairs of characters in scripts without spaces (a single one if it stands alone). In order,
/// parts of `text`. `text` must be valid UTF-8.
std::vector<std::string_view> keyword_pieces(std::string_view text);

}  // namespace nearlite
