#include "stored_vectors.h"

#include <array>

namespace nearlite {

/// Eight sums in a fixed order: a single one would wait for each addition before the next.
double dot(std::span<const float> a, std::span<const float> b) {
  std::array<double, 8> sums{};
  const std::size_t whole = a.size() - a.size() % sums.size();
  for (std::size_t i = 0; i < whole; i += sums.size()) {
    for (std::size_t lane = 0; lane < sums.size(); ++lane)
      sums[lane] += double{a[i + lane]} * double{b[i + lane]};
  }
  for (std::size_t i = whole; i < a.size(); ++i) sums[i - whole] += double{a[i]} * double{b[i]};
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

std::span<const float> vector_in(const IndexSnapshot& snapshot, std::int64_t slot) {
  if (snapshot.tombstones().contains(VectorId{slot})) return {};
  for (const SnapshotPart& part : snapshot.parts()) {
    if (const auto position = part.segment->position_of(VectorId{slot}))
      return part.segment->vector_at(*position);
  }
  if (const auto position = snapshot.delta().position_of(VectorId{slot}))
    return snapshot.delta().delta->vector_at(*position);
  return {};
}

}  // namespace nearlite
