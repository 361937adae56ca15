#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace nearlite {

/// What a proven FAISS file holds.
struct FaissLayout {
  enum class Kind { kFlat, kHnsw };
  Kind kind = Kind::kFlat;
  std::size_t dim = 0;
  std::size_t rows = 0;
  std::span<const std::byte>
      index;                      // of the file: the index itself, without a map of ids around it
  std::vector<std::int64_t> ids;  // of an id map, in the order of slots; empty: it has none
};

/// FAISS believes every count, link and level of a file, so each is looked at here before FAISS
/// sees a byte. Taken are inner-product IndexFlat and IndexHNSWFlat, alone or in an IndexIDMap or
/// IndexIDMap2, whose every length fits the file to the byte, whose links lead to rows that exist
/// on their level, and whose values are finite. Throws CorruptData that names what is wrong, of
/// `file`.
FaissLayout check_faiss_file(const std::filesystem::path& file, std::span<const std::byte> bytes);

}  // namespace nearlite
