#include "codes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "collector.h"
#include "nearlite/base/cpu.h"
#include "row_codes.h"

namespace nearlite {
namespace {

constexpr int kMaxCode = 127;
// |q| <= 64 keeps 255 * 64 * 2 inside 16 bits, where AVX2 adds two products.
constexpr int kMaxPlane = 64;
constexpr std::int32_t kCodeOffset = 128;

float rounded_up(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

/// Where the byte of a row and dimension stands.
std::size_t code_index(std::size_t row, std::size_t j, std::size_t groups) {
  return ((row / kCodeBlock * groups + j / kCodeGroup) * kCodeBlock + row % kCodeBlock) *
             kCodeGroup +
         j % kCodeGroup;
}

/// A query in two planes, and what bounds its error.
struct CodedQuery {
  explicit CodedQuery(std::span<const float> unit, const CodeTable& table)
      : plane1(code_groups(unit.size())), plane2(plane1.size()) {
    float largest = 0;
    for (const float value : unit) largest = std::max(largest, std::abs(value));
    const double s1 = static_cast<double>(largest) / kMaxPlane;
    const double s2 = s1 / (2 * kMaxPlane);
    scale1 = static_cast<float>(s1);
    scale2 = static_cast<float>(s2);
    double error = 0;
    double length = 0;
    double mean_product = 0;
    for (std::size_t j = 0; j < unit.size(); ++j) {
      const auto value = static_cast<double>(unit[j]);
      const int q1 = std::clamp(static_cast<int>(std::lround(value / s1)), -kMaxPlane, kMaxPlane);
      const double rest = value - static_cast<double>(scale1) * q1;
      const int q2 = std::clamp(static_cast<int>(std::lround(rest / s2)), -kMaxPlane, kMaxPlane);
      const double missed = rest - static_cast<double>(scale2) * q2;
      set(plane1, j, q1);
      set(plane2, j, q2);
      sum1 += q1;
      sum2 += q2;
      error += missed * missed;
      length += value * value;
      mean_product += value * static_cast<double>(table.mean[j]);
    }
    error_norm = rounded_up(std::sqrt(error));
    norm = rounded_up(std::sqrt(length));
    offset = static_cast<float>(mean_product);
    // What floating point itself may add: the fp32 score (dim/16 + 4 additions, a product, a
    // division, of values whose absolute sum is at most 1 by Cauchy-Schwarz) and the few operations
    // below, each within 2^-24 of at most 4.
    slack = (static_cast<float>(unit.size()) / 16.0F + 8.0F) * 6.0e-8F * 1.01F + 4.0e-6F;
  }

  static void set(std::vector<std::int32_t>& plane, std::size_t j, int value) {
    const auto byte = static_cast<std::int8_t>(value);
    std::memcpy(reinterpret_cast<char*>(plane.data()) + j, &byte, 1);
  }

  std::vector<std::int32_t> plane1;  // 4 signed bytes in each
  std::vector<std::int32_t> plane2;
  float scale1 = 0;
  float scale2 = 0;
  CodeBounds bounds() const {
    return {.scale1 = scale1,
            .scale2 = scale2,
            .offset1 = kCodeOffset * sum1,
            .offset2 = kCodeOffset * sum2,
            .offset = offset,
            .error_norm = error_norm,
            .norm = norm,
            .slack = slack};
  }

  std::int32_t sum1 = 0;
  std::int32_t sum2 = 0;
  float error_norm = 0;  // |u - u^|
  float norm = 0;        // |u|
  float offset = 0;      // <u, m>
  float slack = 0;
};

/// The k best lower bounds: what a row must be able to reach.
class LowerBounds {
 public:
  LowerBounds(std::size_t k, float floor) : k_(k), floor_(floor) {}
  void add(float lower) {
    if (heap_.size() < k_) {
      heap_.push_back(lower);
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    } else if (lower > heap_.front()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.back() = lower;
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    } else {
      return;
    }
    if (heap_.size() == k_) floor_ = std::max(floor_, heap_.front());
  }
  float floor() const noexcept { return floor_; }

 private:
  std::size_t k_;
  float floor_;
  std::vector<float> heap_;  // front: the smallest
};

}  // namespace

std::vector<float> mean_direction(const StridedVectors& rows, std::span<const float> norms) {
  std::vector<double> sum(rows.dim);
  std::size_t count = 0;
  for (std::size_t i = 0; i < norms.size(); ++i) {
    if (norms[i] == 0) continue;
    const auto row = rows.row(i);
    for (std::size_t j = 0; j < rows.dim; ++j)
      sum[j] += static_cast<double>(row[j]) / static_cast<double>(norms[i]);
    ++count;
  }
  std::vector<float> mean(rows.dim);
  if (count == 0) return mean;
  for (std::size_t j = 0; j < rows.dim; ++j)
    mean[j] = static_cast<float>(sum[j] / static_cast<double>(count));
  return mean;
}

CodeTable EncodedRows::table() const {
  const std::size_t rows = bounds.size() / 3;
  const std::span all(bounds);
  return {codes, all.first(rows), all.subspan(rows, rows), all.subspan(2 * rows, rows), mean};
}

EncodedRows encode_rows(const VectorRows& rows, std::span<const float> norms) {
  const std::size_t count = rows.ids.size();
  const std::size_t groups = code_groups(rows.dim);
  EncodedRows encoded{.codes = std::vector<std::uint8_t>(code_bytes(count, rows.dim), kCodeOffset),
                      .bounds = std::vector<float>(3 * count),
                      .mean = mean_direction({rows.values.data(), rows.dim, rows.dim}, norms)};
  std::vector<double> centered(rows.dim);
  for (std::size_t i = 0; i < count; ++i) {
    if (norms[i] == 0) continue;
    const auto row = rows.row(i);
    double largest = 0;
    for (std::size_t j = 0; j < rows.dim; ++j) {
      centered[j] = static_cast<double>(row[j]) / static_cast<double>(norms[i]) -
                    static_cast<double>(encoded.mean[j]);
      largest = std::max(largest, std::abs(centered[j]));
    }
    const auto scale = static_cast<float>(largest / kMaxCode);
    const double inverse = scale > 0 ? 1.0 / static_cast<double>(scale) : 0.0;
    double code_square = 0;
    double residual_square = 0;
    for (std::size_t j = 0; j < rows.dim; ++j) {
      const double rounded = std::clamp(std::nearbyint(centered[j] * inverse), -127.0, 127.0);
      const double decoded = rounded * static_cast<double>(scale);
      code_square += decoded * decoded;
      residual_square += (centered[j] - decoded) * (centered[j] - decoded);
      encoded.codes[code_index(i, j, groups)] =
          static_cast<std::uint8_t>(static_cast<int>(rounded) + kCodeOffset);
    }
    encoded.bounds[i] = scale;
    encoded.bounds[count + i] = rounded_up(std::sqrt(code_square));
    // Products with values near the smallest float lose digits, up to half of its last one each;
    // only vectors of lengths below 1e-30 notice.
    const double underflow =
        static_cast<double>(rows.dim) * 1.5e-45 / static_cast<double>(norms[i]);
    encoded.bounds[2 * count + i] = rounded_up(std::sqrt(residual_square) + underflow);
  }
  return encoded;
}

struct CodeScan::State {
  State(const CodeTable& coded, std::span<const float> unit_query, std::span<const float> lengths,
        std::span<const VectorId> names, const Collector& into)
      : table(coded),
        query(unit_query, coded),
        norms(lengths),
        ids(names),
        collector(into),
        groups(code_groups(unit_query.size())),
        bounds(query.bounds()),
        lower(into.k(), into.floor()) {}

  const CodeTable& table;
  CodedQuery query;
  std::span<const float> norms;
  std::span<const VectorId> ids;
  const Collector& collector;
  std::size_t groups;
  CodeBounds bounds;
  std::vector<std::int32_t>
      planes;  // [groups, 8]: of this query and three that are scanned with it
  LowerBounds lower;
  std::vector<CodeCandidate> candidates;
};

CodeScan::CodeScan(const CodeTable& table, std::span<const float> unit_query,
                   std::span<const float> norms, std::span<const VectorId> ids,
                   const Collector& collector)
    : state_(std::make_unique<State>(table, unit_query, norms, ids, collector)) {}
CodeScan::CodeScan(CodeScan&&) noexcept = default;
CodeScan::~CodeScan() = default;

void CodeScan::scan(std::size_t first, std::size_t count) {
  const State& s = *state_;
  std::array<std::int32_t, kMostRows> products1;
  std::array<std::int32_t, kMostRows> products2;
  code_products()(s.table.codes.data() + first * s.groups * kCodeGroup, code_blocks(count),
                  s.groups, s.query.plane1.data(), s.query.plane2.data(), products1.data(),
                  products2.data());
  take(first, count, products1.data(), products2.data());
}

void CodeScan::scan_many(std::span<CodeScan> scans, std::size_t first, std::size_t count) {
  const bool together = code_products_of_four() != nullptr;
  while (together && scans.size() >= kManyQueries) {
    scan_few(scans.first(kManyQueries), first, count);
    scans = scans.subspan(kManyQueries);
  }
  for (CodeScan& scan : scans) scan.scan(first, count);
}

void CodeScan::scan_few(std::span<CodeScan> scans, std::size_t first, std::size_t count) {
  State& lead = *scans[0].state_;
  if (lead.planes.empty()) {
    lead.planes.resize(lead.groups * 2 * kManyQueries);
    for (std::size_t i = 0; i < kManyQueries; ++i) {
      for (std::size_t group = 0; group < lead.groups; ++group) {
        std::int32_t* words = lead.planes.data() + group * 2 * kManyQueries + 2 * i;
        words[0] = scans[i].state_->query.plane1[group];
        words[1] = scans[i].state_->query.plane2[group];
      }
    }
  }
  std::array<std::int32_t, 2 * kManyQueries * kMostRows> products;
  code_products_of_four()(lead.table.codes.data() + first * lead.groups * kCodeGroup,
                          code_blocks(count), lead.groups, lead.planes.data(), products.data(),
                          kMostRows);
  for (std::size_t i = 0; i < kManyQueries; ++i) {
    const std::int32_t* own = products.data() + 2 * i * kMostRows;
    scans[i].take(first, count, own, own + kMostRows);
  }
}

void CodeScan::take(std::size_t first, std::size_t count, const std::int32_t* products1,
                    const std::int32_t* products2) {
  State& s = *state_;
  std::array<float, kMostRows> upper;
  std::array<float, kMostRows> error;
  const float best = bound_rows()(
      products1, products2, s.table.scales.data() + first, s.table.code_norms.data() + first,
      s.table.residual_norms.data() + first, count, s.bounds, upper.data(), error.data());
  if (best < s.lower.floor()) return;
  for (std::size_t i = 0; i < count; ++i) {
    if (upper[i] < s.lower.floor()) continue;
    const std::size_t row = first + i;
    if (s.norms[row] == 0 || !s.collector.accepts(s.ids[row])) continue;
    s.candidates.push_back({upper[i], static_cast<std::uint32_t>(row)});
    s.lower.add(upper[i] - 2.0F * error[i]);
  }
}

std::vector<CodeCandidate> CodeScan::finish() {
  std::erase_if(state_->candidates, [&](const CodeCandidate& candidate) {
    return candidate.upper < state_->lower.floor();
  });
  return std::move(state_->candidates);
}

void code_products_scalar(const std::uint8_t* codes, std::size_t num_blocks, std::size_t groups,
                          const std::int32_t* plane1, const std::int32_t* plane2,
                          std::int32_t* products1, std::int32_t* products2) noexcept {
  const auto* q1 = reinterpret_cast<const std::int8_t*>(plane1);
  const auto* q2 = reinterpret_cast<const std::int8_t*>(plane2);
  for (std::size_t block = 0; block < num_blocks; ++block) {
    std::array<std::int32_t, kCodeBlock> sum1{};
    std::array<std::int32_t, kCodeBlock> sum2{};
    for (std::size_t group = 0; group < groups; ++group) {
      for (std::size_t row = 0; row < kCodeBlock; ++row) {
        for (std::size_t j = 0; j < kCodeGroup; ++j) {
          const std::int32_t code = codes[row * kCodeGroup + j];
          sum1[row] += code * q1[group * kCodeGroup + j];
          sum2[row] += code * q2[group * kCodeGroup + j];
        }
      }
      codes += kCodeBlock * kCodeGroup;
    }
    std::copy(sum1.begin(), sum1.end(), products1 + block * kCodeBlock);
    std::copy(sum2.begin(), sum2.end(), products2 + block * kCodeBlock);
  }
}

CodeProducts code_products() noexcept {
  static const CodeProducts chosen = cpu_features().avx512 && cpu_features().avx512_vnni
                                         ? code_products_vnni
                                     : cpu_features().avx2 ? code_products_avx2
                                                           : code_products_scalar;
  return chosen;
}

CodeProductsOfFour code_products_of_four() noexcept {
  return code_products() == code_products_vnni ? code_products_of_four_vnni : nullptr;
}

float bound_rows_scalar(const std::int32_t* products1, const std::int32_t* products2,
                        const float* scales, const float* code_norms, const float* residual_norms,
                        std::size_t count, const CodeBounds& bounds, float* upper,
                        float* error) noexcept {
  float best = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < count; ++i) {
    const float product = bounds.scale1 * static_cast<float>(products1[i] - bounds.offset1) +
                          bounds.scale2 * static_cast<float>(products2[i] - bounds.offset2);
    error[i] = bounds.error_norm * code_norms[i] + bounds.norm * residual_norms[i] + bounds.slack;
    upper[i] = bounds.offset + scales[i] * product + error[i];
    best = std::max(best, upper[i]);
  }
  return best;
}

BoundRows bound_rows() noexcept {
  static const BoundRows chosen = cpu_features().avx512 && cpu_features().avx512_vnni
                                      ? bound_rows_avx512
                                  : cpu_features().avx2 ? bound_rows_avx2
                                                        : bound_rows_scalar;
  return chosen;
}

}  // namespace nearlite
