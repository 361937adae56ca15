#pragma once

#include <cstddef>
#include <string_view>

namespace nearlite {

/// Behind the grapheme cluster that begins at `at` of valid UTF-8. Exact for clusters of at most 5
/// bytes, which is what the character maps of sentencepiece models look at; of longer ones that
/// they are longer (two regional indicators, for example, count as two clusters).
std::size_t cluster_end(std::string_view text, std::size_t at) noexcept;

}  // namespace nearlite
