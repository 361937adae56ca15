#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// The tokens <0x00> to <0xFF> that stand for bytes of unknown characters.
class ByteTokens {
 public:
  /// id_of: the id of a token, or -1.
  template <typename IdOf>
  explicit ByteTokens(IdOf id_of) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    for (unsigned byte = 0; byte < 256; ++byte) {
      ids_[byte] = id_of(std::string{'<', '0', 'x', kDigits[byte >> 4U], kDigits[byte & 15U], '>'});
    }
  }

  std::int32_t id(char byte) const noexcept { return ids_[static_cast<unsigned char>(byte)]; }

  /// Whether all bytes of `text` are tokens.
  bool have(std::string_view text) const noexcept {
    for (const char byte : text) {
      if (id(byte) < 0) return false;
    }
    return true;
  }

 private:
  std::array<std::int32_t, 256> ids_{};
};

}  // namespace nearlite
