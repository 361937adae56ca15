#include "dot.h"

#include <array>

#include "nearlite/base/cpu.h"

namespace nearlite {
namespace {

constexpr std::size_t kLanes = 16;

}  // namespace

void dot_rows_scalar(const float* query, const float* rows, std::size_t num_rows,
                     std::size_t stride, std::size_t dim, float* out) noexcept {
  const std::size_t whole = dim - dim % kLanes;
  for (std::size_t row = 0; row < num_rows; ++row, rows += stride) {
    std::array<float, kLanes> sum{};
    for (std::size_t at = 0; at < whole; at += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        sum[lane] += query[at + lane] * rows[at + lane];
      }
    }
    if (whole != dim) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::size_t at = whole + lane;
        sum[lane] += at < dim ? query[at] * rows[at] : 0.0F;
      }
    }
    for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
      for (std::size_t lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
    }
    out[row] = sum[0];
  }
}

DotRows dot_rows() noexcept {
  static const DotRows chosen = cpu_features().avx512 ? dot_rows_avx512
                                : cpu_features().avx2 ? dot_rows_avx2
                                                      : dot_rows_scalar;
  return chosen;
}

}  // namespace nearlite
