#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nearlite {

// A file of the Annoy library, angular distance, float32, int32 ids: nodes of one size and nothing
// else.
//   item   n_descendants = 1,              squared length (float), vector
//   leaf   2 <= n_descendants <= capacity, ids of the items from byte 4 on
//   split  n_descendants > capacity,       two children, normal of the plane: child 1 is on its
//   positive side
// Items are nodes 0 to n-1. A root counts all n items even if it is a leaf; copies of all roots end
// the file. Every child stands before its parent.
struct AnnoyLayout {
  explicit AnnoyLayout(std::size_t dim) : node_bytes(12 + 4 * dim), leaf_capacity(dim + 2) {}
  std::size_t node_bytes;
  std::size_t leaf_capacity;

  static constexpr std::size_t kChildren = 4;  // also the squared length of an item
  static constexpr std::size_t kVector = 12;
};

// Nodes are only aligned to 4 bytes inside a map, and foreign: read through these.
inline std::int32_t annoy_int(const std::byte* node, std::size_t offset) noexcept {
  std::int32_t value;
  std::memcpy(&value, node + offset, sizeof value);
  return value;
}
inline std::int32_t annoy_descendants(const std::byte* node) noexcept { return annoy_int(node, 0); }
inline std::int32_t annoy_child(const std::byte* node, std::size_t which) noexcept {
  return annoy_int(node, AnnoyLayout::kChildren + 4 * which);
}
inline const float* annoy_vector(const std::byte* node) noexcept {
  return reinterpret_cast<const float*>(node + AnnoyLayout::kVector);
}

}  // namespace nearlite
