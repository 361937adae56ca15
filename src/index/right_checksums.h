#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "block_file.h"
#include "nearlite/base/checksum.h"

namespace nearlite::test {

/// All hashes of a file of ours computed anew over what it holds now: what a hostile file looks
/// like. Bytes that are too few for a header and a footer stay as they are.
inline std::string with_right_checksums(std::string bytes) {
  if (bytes.size() < sizeof(BlockFileHeader) + sizeof(BlockFileFooter)) return bytes;
  BlockFileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto put = [&](std::size_t at, std::uint64_t hash) {
    std::memcpy(bytes.data() + at, &hash, sizeof hash);
  };
  const std::size_t before = bytes.size() - sizeof(BlockFileFooter);
  const std::size_t num_blocks = (before + kBlockBytes + 7) / (kBlockBytes + 8);
  const std::size_t covered = before - num_blocks * 8;
  if (header.header_bytes >= sizeof header && header.header_bytes <= covered) {
    const std::size_t end = header.header_bytes - 8;
    put(end, xxh3_64(std::string_view(bytes).substr(0, end)));
  }
  for (std::size_t block = 0; block < num_blocks; ++block) {
    const std::size_t start = std::min(block * kBlockBytes, covered);
    put(covered + 8 * block,
        xxh3_64(std::string_view(bytes).substr(start, std::min(kBlockBytes, covered - start))));
  }
  put(before, xxh3_64(std::string_view(bytes).substr(covered, num_blocks * 8)));
  return bytes;
}

}  // namespace nearlite::test
