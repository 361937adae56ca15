#include "planner.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "code_scan.h"
#include "nearlite/index/calibration.h"
#include "nearlite/index/id_set.h"
#include "thread_clock.h"

namespace nearlite {
namespace {

constexpr std::size_t kSmallBytes = std::size_t{2} << 20;   // stays in a cache near the processor
constexpr std::size_t kLargeBytes = std::size_t{24} << 20;  // comes from memory

double measure_scan(std::size_t bytes) {
  constexpr std::size_t kPairs = 48;  // 384 dimensions
  const std::size_t num_blocks = bytes / (kPairs * kCodeBlock * 4);
  const std::vector<std::uint8_t> codes(num_blocks * kPairs * kCodeBlock * 4, 0x79);
  const std::vector<std::int32_t> plane(2 * kPairs, 0x01010101);
  std::vector<std::int32_t> products(num_blocks * kCodeBlock);
  double best_us = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 4; ++pass) {  // the first one warms; another process may disturb one
    const ThreadStopwatch watch;
    high_products()(codes.data(), num_blocks, kPairs, plane.data(), products.data());
    best_us = std::min(best_us, watch.elapsed_us());
  }
  return best_us / (static_cast<double>(codes.size()) / (1 << 20));
}

/// What a set of ids leaves of a scan: few passing rows are scored one by one, each at the price of
/// some 16 scanned ones.
double share_scanned(const Segment& segment, const SearchParams& params) {
  if (!params.among) return 1.0;
  const auto passing = static_cast<double>(params.among->size());
  return std::min(1.0, 16.0 * passing / static_cast<double>(segment.size()));
}

}  // namespace

double scan_us_per_mib(std::uint64_t bytes) {
  if (bytes < kLargeBytes / 4) {
    static const double small = measure_scan(kSmallBytes);
    return small;
  }
  static const double large = measure_scan(kLargeBytes);
  return large;
}

bool index_pays(const Segment& segment, const VectorIndex& index, const SearchParams& params,
                std::size_t num_queries) {
  if (params.recall >= 1.0 || segment.size() == 0) return false;
  if (params.index_only) return true;
  const auto* costed = dynamic_cast<const CostedIndex*>(&index);
  if (costed == nullptr) return false;
  const std::optional<double> index_us = costed->estimated_us(params);
  if (!index_us) return false;
  // Both figures are measured; a doubtful gain is not worth the lost certainty.
  constexpr double kClearlyCheaper = 0.75;
  const std::uint64_t bytes = segment.scan_bytes();
  const double scan_us = static_cast<double>(bytes) / (1 << 20) * scan_us_per_mib(bytes) *
                         share_scanned(segment, params);
  // Queries of one scan share what it reads; what is left is a third of the work or less.
  constexpr double kOfMany = 1.0 / 3.0;
  const double share =
      num_queries > 1 ? std::max(1.0 / static_cast<double>(num_queries), kOfMany) : 1.0;
  return *index_us < kClearlyCheaper * scan_us * share;
}

}  // namespace nearlite
