#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "embedder.h"
#include "nearlite/embeddable/cost.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

/// Some of the passages that a run would encode, spread evenly over it, to learn from how fast the
/// model is on such texts on this machine now.
class CostSample {
 public:
  /// Adds the passages that Embedder::cost_of() found in a record.
  void add(const PendingRecord& record);
  /// Milliseconds that encoding and storing texts of this cost takes; 0 for none. Encodes the
  /// sample. Throws as TextEncoder::encode().
  double milliseconds(const TextCost& cost, const Embedder& embedder) const;

 private:
  std::vector<std::string> texts_;
  std::size_t seen_ = 0;
  std::size_t every_ = 1;  // the n-th passage is kept
};

/// What `cost` leaves on disk: the sidecar's rows, the segment, and the index file with its JSON if
/// a backend is named.
std::uint64_t bytes_on_disk(const TextCost& cost, std::size_t dim, Backend backend);

}  // namespace nearlite
