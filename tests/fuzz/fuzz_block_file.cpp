#include <cstddef>
#include <cstdint>

#include "index_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nearlite::fuzz::block_file({reinterpret_cast<const char*>(data), size});
  return 0;
}
