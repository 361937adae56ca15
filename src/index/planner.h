#pragma once

#include <cstdint>

#include "nearlite/index/segment.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

/// Whether the index of a segment answers so many queries cheaper than an exact scan of the
/// segment, at the asked recall.
bool index_pays(const Segment& segment, const VectorIndex& index, const SearchParams& params,
                std::size_t num_queries = 1);

/// Processor time per MiB that an exact scan of this many bytes takes on this machine, in
/// microseconds: measured once per process, apart for what fits a cache and what does not.
double scan_us_per_mib(std::uint64_t bytes);

}  // namespace nearlite
