#pragma once

#include <cstdint>

namespace nearlite::fault_test {

/// What disk_layer.cpp, preloaded into a process, writes to the file NEARLITE_TEST_DISK_LOG: each
/// change of a file below NEARLITE_TEST_DISK_FOLDER, in order. `size` bytes follow: the data of a
/// write, one path, or two with a NUL between.
struct DiskRecord {
  char kind = 0;         // kinds below
  std::uint32_t id = 0;  // of the file
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

inline constexpr char kDiskFound = 'F';       // path: the file `id` was there before
inline constexpr char kDiskCreated = 'C';     // path: the file `id` is new
inline constexpr char kDiskWritten = 'W';     // data at offset
inline constexpr char kDiskCut = 'T';         // to `offset` bytes
inline constexpr char kDiskSynced = 'S';      // all of the file so far
inline constexpr char kDiskNamesSaved = 'D';  // path: fsync of this folder
inline constexpr char kDiskRenamed = 'R';     // two paths
inline constexpr char kDiskRemoved = 'U';     // path
inline constexpr char kDiskSaid = 'A';        // data written to standard output

}  // namespace nearlite::fault_test
