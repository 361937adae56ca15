#pragma once

#include <cstdint>

#include "block_file.h"

namespace nearlite {

// The sections of docs/formats/graph-file.md.
inline constexpr BlockFileKind kGraphFile{"NLGRPH\r\n", "NLGRPEND", 1, "graph"};

enum class GraphSection : std::uint32_t {
  kIds = 1,           // int64 [rows], strictly ascending
  kNorms = 2,         // float32 [rows]
  kRows = 3,          // float32 [rows, dim]
  kMean = 4,          // float32 [dim]
  kScales = 5,        // float32 [rows]
  kCodes = 6,         // uint8 [rows, dim rounded up to 64]
  kLevels = 7,        // GraphLevelParams [1 to 16]
  kMembers = 8,       // uint32 [rows of level 1]
  kNextSame = 9,      // uint32 [rows]
  kCalibration = 10,  // JSON
  kLinks = 32,        // + level: uint32 [rows of the level, degree]
  kEntries = 48,      // + level: uint32 [num_entries]
};

struct GraphLevelParams {
  std::uint32_t rows = 0;
  std::uint32_t degree = 0;
  std::uint32_t num_entries = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(GraphLevelParams) == 16);

inline constexpr std::size_t kMaxLevels = 16;
inline constexpr std::uint32_t kMaxDegree = 256;

}  // namespace nearlite
