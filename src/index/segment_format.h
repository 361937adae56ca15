#pragma once

#include <cstdint>
#include <span>

#include "block_file.h"
#include "codes.h"

namespace nearlite {

// The sections of docs/formats/segment-file.md.
inline constexpr BlockFileKind kSegmentFile{"NLVECS\r\n", "NLVECEND", 2, "segment"};

enum class SectionKind : std::uint32_t {
  kIds = 1,    // int64 [rows], strictly ascending
  kNorms = 2,  // float32 [rows]
  kRows = 3,   // float32 [rows, dim]
  // Optional, all four or none: what codes.h explains. (5 and 6 were those of version 1.)
  kMean = 4,       // float32 [dim]
  kBounds = 7,     // float32 [6, rows]: in the order of CodeTable
  kHighCodes = 8,  // uint8 [blocks of 16 rows, pairs (8 dimensions), 16, 4]
  kLowCodes = 9,   // uint8 [rows, pairs, 4]
};

/// Where things are in a checked file; pointers into the map.
struct SegmentLayout {
  std::span<const VectorId> ids;
  std::span<const float> norms;
  std::span<const float> values;  // [rows, dim]
  CodeTable codes;                // empty if the file has none
};

/// Throws CorruptData if a section is missing or does not fit the counts.
SegmentLayout segment_layout(const BlockFile& file);

}  // namespace nearlite
