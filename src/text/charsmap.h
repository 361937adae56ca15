#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// The character map of a sentencepiece model ("precompiled_charsmap"): a double array over byte
/// strings, whose values are places in a pool of replacements. Immutable; may be used by several
/// threads.
class Charsmap {
 public:
  /// bytes: the number of bytes of the array (little-endian, 4 bytes), the array, the pool. Throws
  /// CorruptData if these disagree.
  explicit Charsmap(std::string_view bytes);

  /// Replaces clusters and characters as the reference does: a cluster of at most 5 bytes as a
  /// whole if the array has a prefix of it, any other text character by character.
  /// text: valid UTF-8.
  std::string apply(std::string_view text) const;

 private:
  /// What stands for the shortest prefix of `part` that the array has.
  std::optional<std::string_view> find(std::string_view part) const noexcept;

  std::vector<std::uint32_t> units_;
  std::string pool_;
  std::vector<bool> ascii_changes_;  // [128]
};

/// Decodes base64 (with or without padding). Nothing if it is not base64.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace nearlite
