#pragma once

#include <cstddef>
#include <string_view>

namespace nearlite {

inline constexpr char32_t kInvalidCodePoint = 0xFFFFFFFF;

/// Reads one code point and moves `at` behind it; kInvalidCodePoint, and `at` unchanged, if the
/// bytes there are not UTF-8 or the text is over.
inline char32_t checked_code_point(std::string_view text, std::size_t& at) noexcept {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + i]));
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const std::size_t left = text.size() - at;
  if (left == 0) return kInvalidCodePoint;
  const char32_t lead = byte(0);
  char32_t code = kInvalidCodePoint;
  if (lead < 0x80) {
    code = lead;
    at += 1;
  } else if (lead >= 0xC2 && lead < 0xE0) {
    if (left < 2 || !follows(1)) return kInvalidCodePoint;
    code = (lead & 0x1FU) << 6U | (byte(1) & 0x3FU);
    at += 2;
  } else if (lead >= 0xE0 && lead < 0xF0) {
    if (left < 3 || !follows(1) || !follows(2)) return kInvalidCodePoint;
    code = (lead & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
    if (code < 0x800 || (code >= 0xD800 && code <= 0xDFFF)) return kInvalidCodePoint;
    at += 3;
  } else if (lead >= 0xF0 && lead < 0xF5) {
    if (left < 4 || !follows(1) || !follows(2) || !follows(3)) return kInvalidCodePoint;
    code = (lead & 0x07U) << 18U | (byte(1) & 0x3FU) << 12U | (byte(2) & 0x3FU) << 6U |
           (byte(3) & 0x3FU);
    if (code < 0x10000 || code > 0x10FFFF) return kInvalidCodePoint;
    at += 4;
  }
  return code;
}

/// Writes a code point as UTF-8; at most 4 bytes. Returns how many.
inline std::size_t encode_utf8(char32_t code, char* out) noexcept {
  const auto put = [&](std::size_t at, char32_t value) {
    out[at] = static_cast<char>(static_cast<unsigned char>(value));
  };
  const auto tail = [](char32_t bits) { return 0x80U | (bits & 0x3FU); };
  if (code < 0x80) {
    put(0, code);
    return 1;
  }
  if (code < 0x800) {
    put(0, 0xC0U | code >> 6U);
    put(1, tail(code));
    return 2;
  }
  if (code < 0x10000) {
    put(0, 0xE0U | code >> 12U);
    put(1, tail(code >> 6U));
    put(2, tail(code));
    return 3;
  }
  put(0, 0xF0U | code >> 18U);
  put(1, tail(code >> 12U));
  put(2, tail(code >> 6U));
  put(3, tail(code));
  return 4;
}

/// Throws InvalidArgument: the text is not UTF-8 at byte `at`; the message counts from `offset`.
[[noreturn]] void throw_invalid_utf8(std::string_view text, std::size_t at, std::size_t offset);

}  // namespace nearlite
