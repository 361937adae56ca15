#include "request_id.h"

#include <sys/random.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>

namespace nearlite::server {

std::string random_hex(std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) {
    unsigned char byte = 0;
    if (getrandom(&byte, 1, 0) != 1) byte = static_cast<unsigned char>(i);
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    text += digits.data();
  }
  return text;
}

std::string new_request_id() {
  // A random start, then a counter: the kernel is not asked for each request.
  static const std::string start = random_hex(4);
  static std::atomic<std::uint32_t> next{0};
  std::array<char, 9> digits{};
  std::snprintf(digits.data(), digits.size(), "%08x", next.fetch_add(1));
  return "req_" + start + digits.data();
}

}  // namespace nearlite::server
