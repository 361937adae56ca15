// As in checksum.cpp: the plain function needs no memory.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "nearlite/base/sha1.h"

#include <openssl/sha.h>

#include <array>

#include "nearlite/base/hex.h"

namespace nearlite {

std::string sha1_hex(std::string_view text) {
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return hex_of(std::as_bytes(std::span(digest)));
}

}  // namespace nearlite
