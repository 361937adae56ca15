#include "planner.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "dot.h"
#include "nearlite/base/clock.h"
#include "nearlite/index/calibration.h"

namespace nearlite {
namespace {

double measure_scan() {
  constexpr std::size_t kDim = 384;
  constexpr std::size_t kRows = 16'384;  // 24 MiB: more than most caches keep for us
  const std::vector<float> rows(kRows * kDim, 0.05F);
  std::vector<float> products(kRows);
  double best_ms = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 3; ++pass) {  // the first one warms; another process may disturb one
    const Stopwatch watch;
    dot_rows()(rows.data(), rows.data(), kRows, kDim, kDim, products.data());
    best_ms = std::min(best_ms, watch.elapsed_ms());
  }
  const double mib = static_cast<double>(rows.size() * sizeof(float)) / (1 << 20);
  return best_ms * 1000.0 / mib;
}

}  // namespace

double scan_us_per_mib() {
  static const double measured = measure_scan();
  return measured;
}

bool index_pays(const Segment& segment, const VectorIndex& index, const SearchParams& params) {
  if (params.recall >= 1.0 || segment.size() == 0) return false;
  if (params.index_only) return true;
  const auto* costed = dynamic_cast<const CostedIndex*>(&index);
  if (costed == nullptr) return false;
  const std::optional<double> index_us = costed->estimated_us(params.recall);
  if (!index_us) return false;
  const double scan_us = static_cast<double>(segment.scan_bytes()) / (1 << 20) * scan_us_per_mib();
  return *index_us < scan_us;
}

}  // namespace nearlite
