#pragma once

#include <cstdint>
#include <span>

#include "nearlite/index/snapshot.h"

namespace nearlite {

/// The vector of a slot, bit for bit as it is stored; empty if it is not live. Valid as long as the
/// snapshot. Throws CorruptData if its block is damaged.
std::span<const float> vector_in(const IndexSnapshot& snapshot, std::int64_t slot);

/// The scalar product, in a fixed order of additions.
double dot(std::span<const float> a, std::span<const float> b);

}  // namespace nearlite
