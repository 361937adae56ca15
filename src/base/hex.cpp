#include "nearlite/base/hex.h"

#include <array>
#include <string_view>

namespace nearlite {

std::string hex_of(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    hex += kDigits[std::to_integer<unsigned>(byte) >> 4U];
    hex += kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return hex;
}

std::string hex_of(std::uint64_t value) {
  std::array<std::byte, sizeof value> bytes{};
  for (std::size_t i = bytes.size(); i-- > 0; value >>= 8U)
    bytes[i] = static_cast<std::byte>(value & 0xFFU);
  return hex_of(bytes);
}

}  // namespace nearlite
