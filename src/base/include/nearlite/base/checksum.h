#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace nearlite {

/// XXH3, 64 bits: fast, against accidents (bit rot, cuts), not against attackers.
std::uint64_t xxh3_64(std::span<const std::byte> bytes, std::uint64_t seed = 0) noexcept;
std::uint64_t xxh3_64(std::string_view text, std::uint64_t seed = 0) noexcept;

/// SHA-256 fed piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// 64 lower-case hex digits; the object is used up.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);
/// Throws NotFound or Unavailable.
std::string sha256_of_file(const std::filesystem::path& file);

}  // namespace nearlite
