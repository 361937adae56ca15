#include "sidecar_readers.h"

#include <algorithm>
#include <utility>

#include "nearlite/base/cpu.h"
#include "nearlite/base/files.h"

namespace nearlite {
namespace {

// More threads than processors would only wait for one another elsewhere; each connection has pages
// in memory.
constexpr std::size_t kMost = 16;

/// Pages that many questions look at stay in memory: 8 MiB at most, less of a small budget.
std::uint64_t page_bytes_of(const MemoryBudget* memory) {
  constexpr std::uint64_t kMostPages = std::uint64_t{8} << 20;
  constexpr std::uint64_t kLeastPages = std::uint64_t{1} << 20;
  if (memory == nullptr) return kMostPages;
  return std::clamp(memory->limit_bytes() / 64, kLeastPages, kMostPages);
}

}  // namespace

/// One of the connections, for as long as it is used.
class SidecarReaders::Lease {
 public:
  explicit Lease(SidecarReaders& readers) : readers_(readers), sidecar_(readers.take()) {}
  ~Lease() { readers_.give_back(std::move(sidecar_)); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Sidecar* get() const noexcept { return sidecar_.get(); }

 private:
  SidecarReaders& readers_;
  std::unique_ptr<Sidecar> sidecar_;
};

SidecarReaders::SidecarReaders(std::filesystem::path file, const Clock* clock,
                               std::shared_ptr<MemoryBudget> memory)
    : file_(std::move(file)),
      options_{.clock = clock, .keyword_lists = make_keyword_lists(memory)},
      most_(std::clamp<std::size_t>(available_cpus() + 1, 2, kMost)),
      page_bytes_(page_bytes_of(memory.get())) {
  idle_.reserve(most_);  // giving one back needs no memory
}

std::uint64_t SidecarReaders::cache_bytes() {
  const std::lock_guard lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& sidecar : idle_) bytes += sidecar->connection().cache_bytes();
  return bytes;
}

bool SidecarReaders::read(const std::function<void(Sidecar&)>& body) {
  const Lease lease(*this);
  if (lease.get() == nullptr) return false;
  body(*lease.get());
  return true;
}

std::unique_ptr<Sidecar> SidecarReaders::take() {
  {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [&] { return in_use_ < most_; });
    ++in_use_;
    if (!idle_.empty()) {
      std::unique_ptr<Sidecar> sidecar = std::move(idle_.back());
      idle_.pop_back();
      return sidecar;
    }
  }
  try {
    const auto stamp = stamp_of(file_);
    if (!stamp || stamp->size_bytes == 0) return nullptr;
    auto sidecar = std::make_unique<Sidecar>(file_, options_);
    sidecar->connection().execute("PRAGMA cache_size = -" + std::to_string(page_bytes_ / 1024));
    return sidecar;
  } catch (...) {
    give_back(nullptr);
    throw;
  }
}

void SidecarReaders::give_back(std::unique_ptr<Sidecar> sidecar) {
  {
    const std::lock_guard lock(mutex_);
    --in_use_;
    if (sidecar) idle_.push_back(std::move(sidecar));
  }
  returned_.notify_one();
}

}  // namespace nearlite
