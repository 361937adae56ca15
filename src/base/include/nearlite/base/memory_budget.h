#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// What caches and maps of one program may hold together, in bytes of memory. A cache that wants
/// more than is left takes the place of those that were used longest ago; what does not fit even so
/// is not kept. Nothing is ever wrong without a cache, only slower. Thread-safe.
class MemoryBudget {
 public:
  class Share;

  explicit MemoryBudget(std::uint64_t limit_bytes = default_limit()) : limit_(limit_bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  /// Half of the machine's memory.
  static std::uint64_t default_limit();
  /// "512M", "2 GiB", "1.5g" or plain bytes; K, M, G and T are powers of 1024. Throws
  /// InvalidArgument, also for less than 1 MiB.
  static std::uint64_t parse_limit(std::string_view text);

  std::uint64_t limit_bytes() const noexcept { return limit_; }
  /// From the next growth of a share on.
  void set_limit(std::uint64_t limit_bytes) noexcept { limit_ = limit_bytes; }
  std::uint64_t used_bytes() const;
  /// Of every kind that a share was ever opened for.
  std::map<std::string, std::uint64_t> used_by_kind() const;

 private:
  bool resize(Share& share, std::uint64_t bytes, bool in_any_case);
  bool fits_without_others(const Share& share, std::uint64_t bytes) const;
  Share* longest_unused(const Share& but) const;

  std::atomic<std::uint64_t> limit_;
  mutable std::mutex mutex_;  // held while another share gives up
  std::uint64_t used_ = 0;
  std::atomic<std::uint64_t> clock_{0};
  std::vector<Share*> shares_;
  std::map<std::string, std::uint64_t> kinds_;
};

/// What one cache holds of a budget. Belongs into the cache, as the last member of those that
/// give_up needs, so that it goes first.
class MemoryBudget::Share {
 public:
  /// Frees what the cache holds, all of it; false if it is in use just now. Called by any thread
  /// that makes room: it must wait for no lock (try_lock) and not touch a budget.
  using GiveUp = std::function<bool()>;

  /// A null budget has no limit. Without give_up nobody can take this share's place.
  Share(std::shared_ptr<MemoryBudget> budget, std::string kind, GiveUp give_up = {});
  ~Share();
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  /// The cache will hold so many bytes in all, or does already. False: they do not fit, and it
  /// holds what it held. Less than before always fits.
  [[nodiscard]] bool resize(std::uint64_t bytes);
  /// The same for what cannot be done without: it may exceed the limit, and others make room.
  void hold(std::uint64_t bytes);
  /// Used just now: others go first.
  void touch() noexcept;
  /// 0 also after others took its place.
  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_acquire); }

 private:
  friend class MemoryBudget;
  std::shared_ptr<MemoryBudget> budget_;
  std::string kind_;
  GiveUp give_up_;
  std::atomic<std::uint64_t> bytes_{0};  // changed under the budget's mutex
  std::atomic<std::uint64_t> last_used_{0};
};

}  // namespace nearlite
