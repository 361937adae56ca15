#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

namespace nearlite {

/// A stretch of bytes as a number: enough to find it again, not to make it again.
struct ByteWindow {
  std::uint32_t length = 0;
  std::uint64_t hash = 0;
  friend bool operator==(const ByteWindow&, const ByteWindow&) = default;
};

constexpr std::size_t kWindowBytes = 24;
constexpr std::size_t kLeastWindowBytes = 8;  // what is shorter is found by chance

/// Windows that lie side by side over `bytes`, the last one at its end: whoever keeps at least
/// 2 * kWindowBytes - 1 bytes in a row keeps a whole window. Shorter than a window: one of the
/// whole length; shorter than kLeastWindowBytes: none. `key` makes the hashes those of one file.
std::vector<ByteWindow> windows_of(std::span<const std::byte> bytes, std::uint64_t key);

/// Looks for windows in a stream of bytes by a rolling hash (Rabin-Karp).
class WindowSearch {
 public:
  WindowSearch(std::span<const ByteWindow> windows, std::uint64_t key);

  /// The next part of the stream; what reaches over its end is found with the part after it. Calls
  /// `found` with the window and the place of its first byte in the stream.
  void feed(std::span<const std::byte> bytes,
            const std::function<void(const ByteWindow&, std::uint64_t)>& found);
  /// The next part belongs to another stream.
  void restart();

 private:
  struct Length {
    std::uint32_t length = 0;
    std::uint64_t highest = 0;  // the multiplier to the power of length - 1
    std::uint64_t hash = 0;
    std::vector<std::uint64_t> filter{};  // bits; most bytes end here
    std::unordered_map<std::uint64_t, bool> hashes{};
  };
  std::uint64_t multiplier_;
  std::vector<Length> lengths_;
  std::vector<std::byte> last_;  // a ring of the last bytes
  std::uint64_t at_ = 0;         // bytes of this stream seen
};

}  // namespace nearlite
