#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto tokenizers = nearlite::fuzz::all_tokenizers();
  nearlite::fuzz::tokenize_any(tokenizers, {reinterpret_cast<const char*>(data), size});
  return 0;
}
