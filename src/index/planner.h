#pragma once

#include "nearlite/index/segment.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

/// Whether the index of a segment answers this query cheaper than an exact scan of the segment, at
/// the asked recall.
bool index_pays(const Segment& segment, const VectorIndex& index, const SearchParams& params);

/// Microseconds per MiB that an exact scan reads on this machine, measured once per process.
double scan_us_per_mib();

}  // namespace nearlite
