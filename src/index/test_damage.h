#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>

#include "nearlite/base/error.h"
#include "right_checksums.h"

namespace nearlite::test {

inline void write_bytes(const std::filesystem::path& file, std::string_view bytes) {
  // In place if the size stays: a file system may wait for the disk when a file is cut to nothing
  // and written anew.
  std::error_code missing;
  const bool same_size = std::filesystem::file_size(file, missing) == bytes.size() && !missing;
  std::ofstream out(file, same_size ? std::ios::binary | std::ios::in | std::ios::out
                                    : std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string flipped(std::string bytes, std::size_t at, unsigned bit) {
  bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << bit));
  return bytes;
}

/// The message of the CorruptData that `use` throws; a failure if it throws nothing or something
/// else.
inline std::string corruption_of(const std::function<void()>& use) {
  try {
    use();
  } catch (const CorruptData& error) {
    return error.what();
  }
  ADD_FAILURE() << "the damage was not noticed";
  return {};
}

}  // namespace nearlite::test
