#include "weight_memory.h"

#include <sys/mman.h>

namespace nearlite {
namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20U;
constexpr std::size_t kLine = 64;

}  // namespace

WeightMemory::WeightMemory(std::size_t bytes) noexcept {
  size_ = bytes + 2 * kLargePage;
  reserved_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved_ == MAP_FAILED) {  // then each piece comes from the heap
    reserved_ = nullptr;
    size_ = 0;
    return;
  }
  begin_ = (kLargePage - reinterpret_cast<std::uintptr_t>(reserved_) % kLargePage) % kLargePage;
#if defined(MADV_HUGEPAGE)
  ::madvise(reserved_, size_, MADV_HUGEPAGE);  // a hint: nothing is lost without
#endif
}

WeightMemory::~WeightMemory() {
  if (reserved_ != nullptr) ::munmap(reserved_, size_);
}

std::uint32_t* WeightMemory::take(std::size_t count) noexcept {
  const std::size_t bytes = (count * sizeof(std::uint32_t) + kLine - 1) / kLine * kLine;
  if (bytes > size_ - begin_) return nullptr;
  auto* piece = reinterpret_cast<std::uint32_t*>(static_cast<std::byte*>(reserved_) + begin_);
  begin_ += bytes;
  return piece;
}

}  // namespace nearlite
