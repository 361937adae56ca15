#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>

#include "block_file.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"

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

/// All hashes of a file of ours computed anew over what it holds now.
inline std::string with_right_checksums(std::string bytes) {
  BlockFileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto put = [&](std::size_t at, std::uint64_t hash) {
    std::memcpy(bytes.data() + at, &hash, sizeof hash);
  };
  const std::size_t before = bytes.size() - sizeof(BlockFileFooter);
  const std::size_t num_blocks = (before + kBlockBytes + 7) / (kBlockBytes + 8);
  const std::size_t covered = before - num_blocks * 8;
  put(header.header_bytes - 8, xxh3_64(std::string_view(bytes).substr(0, header.header_bytes - 8)));
  for (std::size_t block = 0; block < num_blocks; ++block) {
    const std::size_t start = block * kBlockBytes;
    put(covered + 8 * block,
        xxh3_64(std::string_view(bytes).substr(start, std::min(kBlockBytes, covered - start))));
  }
  put(before, xxh3_64(std::string_view(bytes).substr(covered, num_blocks * 8)));
  return bytes;
}

}  // namespace nearlite::test
