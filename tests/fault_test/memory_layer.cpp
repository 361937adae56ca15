// The allocator of a process, for LD_PRELOAD: request NEARLITE_TEST_MEMORY_AT (counted from
// nearlite_test_memory_begins() on, 1 is the first) fails, and with NEARLITE_TEST_MEMORY_FOREVER
// every later one too. NEARLITE_TEST_MEMORY_COUNT names a file that gets the number of requests.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

// The C library's own, under the names that stay when malloc is replaced.
extern "C" {
void* __libc_malloc(std::size_t size);                     // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* old, std::size_t size);         // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t border,
                      std::size_t size);  // NOLINT(bugprone-reserved-identifier)
}

namespace {

std::atomic<bool> counting{false};
std::atomic<unsigned long> requests{0};
unsigned long fails_at = 0;
bool fails_for_ever = false;

bool is_refused() {
  if (!counting.load(std::memory_order_relaxed)) return false;
  const unsigned long number = requests.fetch_add(1) + 1;
  if (fails_at == 0 || number < fails_at || (number > fails_at && !fails_for_ever)) return false;
  errno = ENOMEM;
  return true;
}

}  // namespace

extern "C" {

void nearlite_test_memory_begins() {
  if (const char* at = std::getenv("NEARLITE_TEST_MEMORY_AT"))
    fails_at = std::strtoul(at, nullptr, 10);
  fails_for_ever = std::getenv("NEARLITE_TEST_MEMORY_FOREVER") != nullptr;
  counting = true;
}

void nearlite_test_memory_ends() {
  counting = false;
  const char* name = std::getenv("NEARLITE_TEST_MEMORY_COUNT");
  if (name == nullptr) return;
  const int fd = ::open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ::dprintf(fd, "%lu\n", requests.load()) < 0) std::abort();
  ::close(fd);
}

void* malloc(std::size_t size) noexcept { return is_refused() ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) noexcept {
  return is_refused() ? nullptr : __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
  return is_refused() ? nullptr : __libc_realloc(old, size);
}
void* memalign(std::size_t border, std::size_t size) noexcept {
  return is_refused() ? nullptr : __libc_memalign(border, size);
}
void* aligned_alloc(std::size_t border, std::size_t size) noexcept {
  return memalign(border, size);
}
int posix_memalign(void** to, std::size_t border, std::size_t size) noexcept {
  void* const given = memalign(border, size);
  if (given == nullptr) return ENOMEM;
  *to = given;
  return 0;
}
}
