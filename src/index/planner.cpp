#include "planner.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "codes.h"
#include "nearlite/base/clock.h"
#include "nearlite/index/calibration.h"

namespace nearlite {
namespace {

double measure_scan() {
  constexpr std::size_t kGroups = 96;    // 384 dimensions
  constexpr std::size_t kBlocks = 4096;  // 24 MiB: more than most caches keep for us
  const std::vector<std::uint8_t> codes(kBlocks * kGroups * kCodeBlock * kCodeGroup, 129);
  const std::vector<std::int32_t> plane(kGroups, 0x01010101);
  std::vector<std::int32_t> products1(kBlocks * kCodeBlock);
  std::vector<std::int32_t> products2(kBlocks * kCodeBlock);
  double best_ms = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 3; ++pass) {  // the first one warms; another process may disturb one
    const Stopwatch watch;
    code_products()(codes.data(), kBlocks, kGroups, plane.data(), plane.data(), products1.data(),
                    products2.data());
    best_ms = std::min(best_ms, watch.elapsed_ms());
  }
  return best_ms * 1000.0 / (static_cast<double>(codes.size()) / (1 << 20));
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
