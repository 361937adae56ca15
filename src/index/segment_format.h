#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "codes.h"
#include "nearlite/index/segment.h"

namespace nearlite {

// The byte layout of docs/formats/segment-file.md. All numbers are little-endian, as on every
// machine we run on.
inline constexpr std::string_view kSegmentMagic = "NLVECS\r\n";
inline constexpr std::string_view kSegmentEnd = "NLVECEND";
inline constexpr std::uint32_t kSegmentVersion = 1;
inline constexpr std::uint64_t kBlockBytes = 65'536;
inline constexpr std::uint64_t kSectionAlignment = 64;
inline constexpr std::size_t kMaxNameBytes = 4096;
inline constexpr std::size_t kMaxSections = 64;

enum class SectionKind : std::uint32_t {
  kIds = 1,    // int64 [rows], strictly ascending
  kNorms = 2,  // float32 [rows]
  kRows = 3,   // float32 [rows, dim]
  // Optional, all three or none: what codes.h explains.
  kMean = 4,    // float32 [dim]
  kBounds = 5,  // float32 [3, rows]: scales, code norms, residual norms
  kCodes = 6,   // uint8 [blocks of 16 rows, groups of 4 dimensions, 16, 4]
};

struct SegmentHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = 0;
  std::uint32_t header_bytes = 0;  // with sections, names, padding and the hash at its end
  std::uint64_t file_bytes = 0;
  std::uint64_t rows = 0;
  std::uint32_t dim = 0;
  std::uint32_t metric = 1;  // 1: cosine
  std::uint64_t generation = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t num_sections = 0;
  std::uint32_t store_bytes = 0;
  std::uint32_t model_bytes = 0;
};
static_assert(sizeof(SegmentHeader) == 64);

struct SectionEntry {
  std::uint32_t kind = 0;
  std::uint32_t reserved = 0;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
};
static_assert(sizeof(SectionEntry) == 24);

// After the hashes of the blocks.
struct SegmentFooter {
  std::uint64_t table_hash = 0;  // XXH3 of the block hashes
  std::uint64_t file_bytes = 0;
  std::array<char, 8> end{};
};
static_assert(sizeof(SegmentFooter) == 24);

/// Where things are in a checked file; pointers into the map.
struct SegmentLayout {
  SegmentInfo info;
  SegmentDigest digest;
  std::uint64_t covered_bytes = 0;  // by the block hashes: all before the footer
  std::span<const std::uint64_t> block_hashes;
  std::span<const VectorId> ids;
  std::span<const float> norms;
  std::span<const float> values;  // [rows, dim]
  CodeTable codes;                // empty if the file has none
};

/// Reads header, footer and section table and checks that every count fits the file. Throws
/// CorruptData.
SegmentLayout parse_segment(const std::filesystem::path& file, std::span<const std::byte> bytes);

}  // namespace nearlite
