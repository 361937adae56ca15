// As in checksum.cpp: the plain function needs no memory.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "nearlite/base/sha1.h"

#include <openssl/sha.h>

#include <array>

namespace nearlite {

std::string sha1_hex(std::string_view text) {
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 15U];
  }
  return hex;
}

}  // namespace nearlite
