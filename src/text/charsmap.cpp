#include "charsmap.h"

#include <cstring>

#include "grapheme_clusters.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

constexpr std::size_t kLongestCluster = 5;  // bytes of a cluster that is looked up as a whole

// A unit of the array: the byte that leads to it, whether a value stands at its offset, the offset.
constexpr bool has_value(std::uint32_t unit) noexcept { return (unit >> 8U & 1U) == 1; }
constexpr std::uint32_t label(std::uint32_t unit) noexcept { return unit & (1U << 31U | 0xFFU); }
constexpr std::uint32_t offset(std::uint32_t unit) noexcept {
  return unit >> 10U << ((unit & 1U << 9U) >> 6U);
}
constexpr std::uint32_t value(std::uint32_t unit) noexcept { return unit & ~(1U << 31U); }

int base64_digit(char character) noexcept {
  if (character >= 'A' && character <= 'Z') return character - 'A';
  if (character >= 'a' && character <= 'z') return character - 'a' + 26;
  if (character >= '0' && character <= '9') return character - '0' + 52;
  if (character == '+') return 62;
  return character == '/' ? 63 : -1;
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int num_bits = 0;
  for (const char character : text) {
    const int digit = base64_digit(character);
    if (digit < 0) return std::nullopt;
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    num_bits += 6;
    if (num_bits < 8) continue;
    num_bits -= 8;
    bytes += static_cast<char>(static_cast<unsigned char>(bits >> static_cast<unsigned>(num_bits)));
  }
  return bytes;
}

Charsmap::Charsmap(std::string_view bytes) : ascii_changes_(128) {
  std::uint32_t array_bytes = 0;
  if (bytes.size() < sizeof array_bytes) throw CorruptData("the character map is cut off");
  std::memcpy(&array_bytes, bytes.data(), sizeof array_bytes);
  bytes.remove_prefix(sizeof array_bytes);
  if (array_bytes > bytes.size() || array_bytes % sizeof(std::uint32_t) != 0 || array_bytes == 0) {
    throw CorruptData("the character map is said to have an array of " +
                      std::to_string(array_bytes) + " bytes, " + std::to_string(bytes.size()) +
                      " are there");
  }
  units_.resize(array_bytes / sizeof(std::uint32_t));
  std::memcpy(units_.data(), bytes.data(), array_bytes);
  pool_ = bytes.substr(array_bytes);
  if (find_invalid_utf8(pool_))
    throw CorruptData("the replacements of the character map are not UTF-8");
  for (unsigned code = 0; code < 128; ++code) {
    const char character = static_cast<char>(code);
    ascii_changes_[code] = find({&character, 1}).has_value();
  }
}

std::optional<std::string_view> Charsmap::find(std::string_view part) const noexcept {
  std::size_t node = offset(units_[0]);
  for (const char character : part) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte == 0) break;
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) return std::nullopt;
    const std::uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!has_value(unit)) continue;
    const std::size_t place = node < units_.size() ? value(units_[node]) : pool_.size();
    if (place >= pool_.size()) return std::nullopt;
    const std::string_view replacement = std::string_view(pool_).substr(place);
    return replacement.substr(0, replacement.find('\0'));
  }
  return std::nullopt;
}

std::string Charsmap::apply(std::string_view text) const {
  std::string result;
  result.reserve(text.size() + 16);
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool is_alone =  // ASCII before ASCII: a cluster, but for CR LF
        byte < 0x80 && byte != '\r' && (at + 1 == text.size() || (text[at + 1] & '\x80') == 0);
    if (is_alone && !ascii_changes_[byte]) {
      result += text[at++];
      continue;
    }
    const std::size_t end = is_alone ? at + 1 : cluster_end(text, at);
    if (end - at <= kLongestCluster) {
      if (const auto replacement = find(text.substr(at, end - at))) {
        result += *replacement;
        at = end;
        continue;
      }
    }
    while (at < end) {
      const std::size_t begin = at;
      next_code_point(text, at);
      const std::string_view character = text.substr(begin, at - begin);
      result += find(character).value_or(character);
    }
  }
  return result;
}

}  // namespace nearlite
