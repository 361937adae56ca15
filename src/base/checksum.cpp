// The plain functions, which need no memory and cannot fail: the newer ones end the process when
// memory runs out while the library starts (OpenSSL 3.0).
#define OPENSSL_SUPPRESS_DEPRECATED
#include "nearlite/base/checksum.h"

#define XXH_INLINE_ALL
#include <openssl/sha.h>
#include <xxhash.h>

#include <array>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/hex.h"

namespace nearlite {

std::uint64_t xxh3_64(std::span<const std::byte> bytes, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t xxh3_64(std::string_view text, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

struct Sha256::State {
  SHA256_CTX context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { ::SHA256_Init(&state_->context); }

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  ::SHA256_Update(&state_->context, bytes.data(), bytes.size());
}

void Sha256::update(std::string_view text) { update(std::as_bytes(std::span(text))); }

std::string Sha256::hex() {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  ::SHA256_Final(digest.data(), &state_->context);
  return hex_of(std::as_bytes(std::span(digest)));
}

std::string sha256_hex(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.hex();
}

std::string sha256_of_file(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  Sha256 hash;
  hash.update(mapped.bytes());
  return hash.hex();
}

}  // namespace nearlite
