#include "nearlite/base/memory_budget.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::uint64_t kLeast = std::uint64_t{1} << 20;

[[noreturn]] void refuse(std::string_view text) {
  throw InvalidArgument("memory budget '" + std::string(text) + "' is no size of 1 MiB or more",
                        "write it as 512M, 2G or 1.5GiB");
}

/// The factor of "", "K", "kB", "MiB", ...; 0: none of them.
double factor_of(std::string_view unit) {
  constexpr std::string_view kUnits = "kmgt";
  if (unit.empty()) return 1;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const std::size_t power = kUnits.find(lower(unit.front()));
  unit.remove_prefix(1);
  std::string rest;
  for (const char c : unit) rest += lower(c);
  if (power == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) return 0;
  return static_cast<double>(std::uint64_t{1} << (10 * (power + 1)));
}

}  // namespace

std::uint64_t MemoryBudget::default_limit() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return std::uint64_t{1} << 30;
  return std::max(kLeast,
                  static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes) / 2);
}

std::uint64_t MemoryBudget::parse_limit(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{}) refuse(text);
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const double bytes = number * factor_of(unit);
  constexpr double kMost = 9.0e18;
  if (!(bytes >= static_cast<double>(kLeast)) || bytes > kMost) refuse(text);
  return static_cast<std::uint64_t>(bytes);
}

std::uint64_t MemoryBudget::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

std::map<std::string, std::uint64_t> MemoryBudget::used_by_kind() const {
  const std::lock_guard lock(mutex_);
  return kinds_;
}

/// Whether it would fit if everybody who can gave up: else nobody has to.
bool MemoryBudget::fits_without_others(const Share& share, std::uint64_t bytes) const {
  std::uint64_t lasting = bytes;
  for (const Share* other : shares_) {
    if (other != &share && !other->give_up_) lasting += other->bytes();
  }
  return lasting <= limit_;
}

MemoryBudget::Share* MemoryBudget::longest_unused(const Share& but) const {
  Share* oldest = nullptr;
  for (Share* share : shares_) {
    if (share == &but || !share->give_up_ || share->bytes() == 0) continue;
    if (oldest == nullptr || share->last_used_ < oldest->last_used_) oldest = share;
  }
  return oldest;
}

bool MemoryBudget::resize(Share& share, std::uint64_t bytes, bool in_any_case) {
  const std::lock_guard lock(mutex_);
  share.touch();
  const auto set = [this](Share& of, std::uint64_t now) {
    used_ += now - of.bytes();
    kinds_[of.kind_] += now - of.bytes();
    of.bytes_.store(now, std::memory_order_release);
  };
  if (bytes > share.bytes()) {
    if (!in_any_case && !fits_without_others(share, bytes)) return false;
    const std::uint64_t more = bytes - share.bytes();
    std::vector<Share*> busy;
    while (used_ + more > limit_) {
      Share* oldest = longest_unused(share);
      if (oldest == nullptr || std::ranges::find(busy, oldest) != busy.end()) break;
      if (oldest->give_up_()) {
        set(*oldest, 0);
      } else {
        busy.push_back(oldest);
        oldest->touch();
      }
    }
    if (!in_any_case && used_ + more > limit_) return false;
  }
  set(share, bytes);
  return true;
}

MemoryBudget::Share::Share(std::shared_ptr<MemoryBudget> budget, std::string kind, GiveUp give_up)
    : budget_(std::move(budget)), kind_(std::move(kind)), give_up_(std::move(give_up)) {
  if (!budget_) return;
  const std::lock_guard lock(budget_->mutex_);
  budget_->kinds_[kind_];
  budget_->shares_.push_back(this);
}

MemoryBudget::Share::~Share() {
  if (!budget_) return;
  const std::lock_guard lock(budget_->mutex_);
  budget_->used_ -= bytes();
  budget_->kinds_[kind_] -= bytes();
  std::erase(budget_->shares_, this);
}

bool MemoryBudget::Share::resize(std::uint64_t bytes) {
  if (budget_) return budget_->resize(*this, bytes, false);
  bytes_.store(bytes, std::memory_order_release);
  return true;
}

void MemoryBudget::Share::hold(std::uint64_t bytes) {
  if (budget_) {
    budget_->resize(*this, bytes, true);
  } else {
    bytes_.store(bytes, std::memory_order_release);
  }
}

void MemoryBudget::Share::touch() noexcept {
  if (budget_) last_used_.store(++budget_->clock_, std::memory_order_relaxed);
}

}  // namespace nearlite
