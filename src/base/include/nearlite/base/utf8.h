#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace nearlite {

/// The byte position of the first byte that is not valid UTF-8 (surrogates and overlong forms are
/// invalid), or nothing if all is well. A NUL byte is an ordinary character.
std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept;

/// Reads the code point that starts at `at` of valid UTF-8 and moves `at` behind it. Of other text
/// some code points come out wrong, but nothing behind its end is read.
char32_t next_code_point(std::string_view text, std::size_t& at) noexcept;

void append_utf8(std::string& text, char32_t code_point);

/// At most `max_bytes` of the text, cut at a character border.
std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes) noexcept;

}  // namespace nearlite
