#include "nearlite/base/map_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/base/once.h"

namespace nearlite {
namespace {

// The one state of a process that nearlite keeps: a signal has one handler, which finds the map by
// its address. Blocks are only ever added, so that the handler needs no lock.
struct SlotBlock {
  std::array<MapGuard::Slot, 64> slots;
  std::atomic<SlotBlock*> next = nullptr;
};

SlotBlock& first_block() {
  static SlotBlock block;
  return block;
}

struct sigaction& previous_action() {
  static struct sigaction previous {};
  return previous;
}

MapGuard::Slot* slot_of(std::uintptr_t address) noexcept {
  for (SlotBlock* block = &first_block(); block != nullptr; block = block->next.load()) {
    for (MapGuard::Slot& slot : block->slots) {
      if (slot.start.load() <= address && address < slot.end.load()) return &slot;
    }
  }
  return nullptr;
}

std::uintptr_t page_bytes() {
  static const auto bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

/// Zeros from the page of this address to the end of its map: what was cut off has no other pages.
bool replace_by_zeros(const MapGuard::Slot& slot, std::uintptr_t address) noexcept {
  const std::uintptr_t from = address / page_bytes() * page_bytes();
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the address comes from the signal as a number
  return ::mmap(reinterpret_cast<void*>(from), slot.end.load() - from, PROT_READ,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

void pass_on(int signal, siginfo_t* info, void* context) noexcept {
  const struct sigaction& previous = previous_action();
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    ::sigaction(signal, &usual, nullptr);
    if (info->si_code <= 0) ::raise(signal);  // sent by somebody: it does not come again by itself
  }
}

void on_bus_error(int signal, siginfo_t* info, void* context) noexcept {
  const int error = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  MapGuard::Slot* slot = info->si_code > 0 ? slot_of(address) : nullptr;
  if (slot != nullptr) {
    slot->was_cut.store(true);
    if (replace_by_zeros(*slot, address)) {
      errno = error;
      return;  // the reader tries again, and reads zeros
    }
  }
  pass_on(signal, info, context);
  errno = error;
}

void install_once() {
  static Once installed;
  installed.call([] {
    // Made now, since the handler must not be the first to ask for them.
    slot_of(1);
    page_bytes();
    struct sigaction ours {};
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigemptyset(&ours.sa_mask);
    if (::sigaction(SIGBUS, &ours, &previous_action()) != 0)
      throw_errno("cannot handle SIGBUS", errno);
  });
}

MapGuard::Slot& take_slot(std::uintptr_t start) {
  for (SlotBlock* block = &first_block();; block = block->next.load()) {
    for (MapGuard::Slot& slot : block->slots) {
      std::uintptr_t free = 0;
      if (slot.start.compare_exchange_strong(free, start)) return slot;
    }
    if (block->next.load() != nullptr) continue;
    auto* more = new SlotBlock;  // lives as long as the process: the handler may be looking at it
    SlotBlock* none = nullptr;
    if (!block->next.compare_exchange_strong(none, more)) delete more;
  }
}

}  // namespace

MapGuard::MapGuard(const void* start, std::size_t bytes) {
  if (bytes == 0) return;
  install_once();
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  slot_ = &take_slot(address);
  slot_->was_cut.store(false);
  slot_->end.store(address + bytes);
}

MapGuard::~MapGuard() {
  if (slot_ == nullptr) return;
  slot_->end.store(0);
  slot_->start.store(0);
}

MapGuard::MapGuard(MapGuard&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}

MapGuard& MapGuard::operator=(MapGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

bool MapGuard::was_cut() const noexcept { return slot_ != nullptr && slot_->was_cut.load(); }

}  // namespace nearlite
