#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nearlite/embeddable/record.h"

namespace nearlite {

struct EraseOptions {
  std::chrono::milliseconds wait{0};  // for a backfill that holds the store
  // Files beside the store's own that are searched too: metrics.db.
  std::vector<std::filesystem::path> also{};
};

/// What was done about one record. Holds nothing of what was erased.
struct EraseReceipt {
  RecordKey key{};
  std::string key_hash{};   // what stands on the do-not-embed list
  std::size_t vectors = 0;  // that were deleted
  std::size_t windows = 0;  // stretches of its text and vectors that are looked for
  std::size_t shared = 0;   // stretches not looked for: other records hold them too
  std::string erased_at{};  // RFC 3339 UTC
};

struct EraseResult {
  std::vector<EraseReceipt> records{};
  std::vector<std::filesystem::path> files{};  // whose bytes were searched afterwards
  std::uint64_t bytes_searched = 0;
};

}  // namespace nearlite
