#include "nearlite/base/byte_windows.h"

#include <algorithm>

namespace nearlite {
namespace {

constexpr std::size_t kRing = 64;  // a power of two, larger than a window
constexpr std::size_t kFilterBits = std::size_t{1} << 16;
static_assert(kWindowBytes < kRing);

/// Odd and large: every byte reaches the upper half of the hash after a few steps.
std::uint64_t multiplier_of(std::uint64_t key) {
  return (key * 0x9E3779B97F4A7C15ULL) | 0x8000000000000005ULL;
}

/// No byte is worth nothing, so that zeros count too.
std::uint64_t worth(std::byte byte) { return std::to_integer<std::uint64_t>(byte) + 1; }

std::size_t filter_bit(std::uint64_t hash) {
  hash ^= hash >> 32U;
  return static_cast<std::size_t>((hash * 0xD6E8FEB86659FD93ULL) >> 48U) % kFilterBits;
}

ByteWindow window_at(std::span<const std::byte> bytes, std::uint64_t multiplier) {
  ByteWindow window{static_cast<std::uint32_t>(bytes.size()), 0};
  for (const std::byte byte : bytes) window.hash = window.hash * multiplier + worth(byte);
  return window;
}

}  // namespace

std::vector<ByteWindow> windows_of(std::span<const std::byte> bytes, std::uint64_t key) {
  const std::uint64_t multiplier = multiplier_of(key);
  std::vector<ByteWindow> windows;
  if (bytes.size() < kLeastWindowBytes) return windows;
  if (bytes.size() < kWindowBytes) return {window_at(bytes, multiplier)};
  std::size_t at = 0;
  for (; at + kWindowBytes <= bytes.size(); at += kWindowBytes)
    windows.push_back(window_at(bytes.subspan(at, kWindowBytes), multiplier));
  if (at != bytes.size()) windows.push_back(window_at(bytes.last(kWindowBytes), multiplier));
  return windows;
}

WindowSearch::WindowSearch(std::span<const ByteWindow> windows, std::uint64_t key)
    : multiplier_(multiplier_of(key)), last_(kRing) {
  for (const ByteWindow& window : windows) {
    if (window.length == 0 || window.length >= kRing) continue;
    auto length = std::ranges::find(lengths_, window.length, &Length::length);
    if (length == lengths_.end()) {
      Length fresh;
      fresh.length = window.length;
      fresh.highest = 1;
      for (std::uint32_t i = 1; i < window.length; ++i) fresh.highest *= multiplier_;
      fresh.filter.resize(kFilterBits / 64);
      lengths_.push_back(std::move(fresh));
      length = lengths_.end() - 1;
    }
    const std::size_t bit = filter_bit(window.hash);
    length->filter[bit / 64] |= std::uint64_t{1} << (bit % 64);
    length->hashes.emplace(window.hash, true);
  }
}

void WindowSearch::restart() {
  at_ = 0;
  for (Length& length : lengths_) length.hash = 0;
}

void WindowSearch::feed(std::span<const std::byte> bytes,
                        const std::function<void(const ByteWindow&, std::uint64_t)>& found) {
  for (const std::byte byte : bytes) {
    for (Length& length : lengths_) {
      if (at_ >= length.length) {
        const std::byte gone = last_[(at_ - length.length) % kRing];
        length.hash -= worth(gone) * length.highest;
      }
      length.hash = length.hash * multiplier_ + worth(byte);
      if (at_ + 1 < length.length) continue;
      const std::size_t bit = filter_bit(length.hash);
      if ((length.filter[bit / 64] >> (bit % 64) & 1U) == 0) continue;
      if (length.hashes.contains(length.hash))
        found({length.length, length.hash}, at_ + 1 - length.length);
    }
    last_[at_ % kRing] = byte;
    ++at_;
  }
}

}  // namespace nearlite
