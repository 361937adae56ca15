#include "code_scan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "collector.h"
#include "nearlite/base/cpu.h"
#include "row_codes.h"

namespace nearlite {
namespace {

constexpr int kHalfOffset = 8;  // what is taken from a high half, so that products stay small

float rounded_up(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

/// A query as multiples of a step, and how much that misses.
struct CodedQuery {
  explicit CodedQuery(std::span<const float> unit) : plane(code_stride(unit.size())) {
    constexpr int kMost = 127;
    float largest = 0;
    for (const float value : unit) largest = std::max(largest, std::abs(value));
    const double step = static_cast<double>(largest) / kMost;
    scale = static_cast<float>(step);
    double error = 0;
    for (std::size_t j = 0; j < unit.size(); ++j) {
      const auto value = static_cast<double>(unit[j]);
      const int code = std::clamp(static_cast<int>(std::lround(value / step)), -kMost, kMost);
      const double missed = value - static_cast<double>(scale) * code;
      plane[j] = static_cast<std::int8_t>(code);
      sum += code;
      error += missed * missed;
    }
    error_norm = rounded_up(std::sqrt(error));
  }

  std::vector<std::int8_t> plane;  // [code_stride(dim)]
  float scale = 0;
  std::int32_t sum = 0;
  float error_norm = 0;  // |u - u^|
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

/// A row that may be among the k nearest.
struct CodeCandidate {
  float upper = 0;  // its similarity is at most this
  std::uint32_t row = 0;
};

struct CodeScan::State {
  State(const CodeTable& of, std::span<const float> unit, std::span<const float> lengths,
        std::span<const VectorId> names, const Collector& into, const CodeScan::Rows& of_rows)
      : table(of),
        coded(unit),
        norms(lengths),
        ids(names),
        collector(into),
        rows(of_rows),
        pairs(code_pairs(unit.size())),
        plane(2 * pairs),
        lower(into.k(), into.floor()),
        filtered(into.is_filtered()),
        next_settling(std::max(kFewPending, 32 * into.k())) {
    std::memcpy(plane.data(), coded.plane.data(), plane.size() * sizeof(std::int32_t));
    low_plane.resize((pairs + 7) / 8 * 8);
    high_plane.resize(low_plane.size());
    for (std::size_t pair = 0; pair < pairs; ++pair) {
      low_plane[pair] = plane[2 * pair];
      high_plane[pair] = plane[2 * pair + 1];
    }
    double length = 0;
    double product = 0;
    double along = 0;
    const std::vector<double> direction = direction_of(table.mean);
    for (std::size_t j = 0; j < unit.size(); ++j) {
      const auto value = static_cast<double>(unit[j]);
      length += value * value;
      product += value * static_cast<double>(table.mean[j]);
      along += value * direction[j];
    }
    bounds = {
        .factor = 16.0F * coded.scale,
        .shift = 7.5F * coded.scale * static_cast<float>(coded.sum),
        .offset = kHalfOffset * coded.sum,
        .mean_product = static_cast<float>(product),
        .error_norm = coded.error_norm,
        .norm = rounded_up(std::sqrt(length)),
        .along = static_cast<float>(along),
        .across = rounded_up(std::sqrt(std::max(0.0, length - along * along)) + 1e-7),
        // What floating point itself may add: the fp32 score (dim/16 + 4 additions, a product,
        // a division, of values whose absolute sum is at most 1 by Cauchy-Schwarz) and the few
        // operations of the bounds, each within 2^-24 of at most 4.
        .slack = (static_cast<float>(unit.size()) / 16.0F + 8.0F) * 6.0e-8F * 1.01F + 4.0e-6F};
  }

  /// A row whose low half was not looked at yet.
  struct Pending {
    float upper;  // by its high half
    std::uint32_t row;
    std::int32_t high_product;
  };
  static constexpr std::size_t kFewPending = 512;

  void take(std::size_t first, std::size_t count, const std::int32_t* products);
  void refine_best();
  void refine(std::span<const Pending> some);
  void score(std::span<const CodeCandidate> some);
  /// What a row must be able to reach.
  float floor() const noexcept { return std::max(lower.floor(), collector.floor()); }

  const CodeTable& table;
  CodedQuery coded;
  std::span<const float> norms;
  std::span<const VectorId> ids;
  const Collector& collector;
  const Rows& rows;
  std::size_t pairs;
  std::vector<std::int32_t> plane;       // coded, [2 * pairs] words
  std::vector<std::int32_t> low_plane;   // every second of them, padded
  std::vector<std::int32_t> high_plane;  // and the others
  std::vector<std::int32_t> planes;      // [2 * pairs, 4]: of this query and three scanned with it
  HighBounds bounds;
  LowerBounds lower;
  bool filtered;
  std::vector<Pending> pending;
  std::size_t next_settling;  // rows: when as many were scanned
  std::size_t most_pending = SIZE_MAX;
  std::size_t num_refined = 0;
  std::vector<CodeCandidate> candidates;
};

CodeScan::CodeScan(const CodeTable& table, std::span<const float> unit_query,
                   std::span<const float> norms, std::span<const VectorId> ids,
                   const Collector& collector, const Rows& rows)
    : state_(std::make_unique<State>(table, unit_query, norms, ids, collector, rows)) {}
CodeScan::CodeScan(CodeScan&&) noexcept = default;
CodeScan::~CodeScan() = default;

std::size_t CodeScan::num_refined() const noexcept { return state_->num_refined; }

void CodeScan::scan(std::size_t first, std::size_t count) {
  State& s = *state_;
  std::array<std::int32_t, kMostRows> products;
  high_products()(s.table.high.data() + first * s.pairs * 4, code_blocks(count), s.pairs,
                  s.plane.data(), products.data());
  s.take(first, count, products.data());
}

void CodeScan::scan_many(std::span<CodeScan> scans, std::size_t first, std::size_t count) {
  const bool together = high_products_of_four() != nullptr;
  while (together && scans.size() >= kManyQueries) {
    scan_few(scans.first(kManyQueries), first, count);
    scans = scans.subspan(kManyQueries);
  }
  for (CodeScan& scan : scans) scan.scan(first, count);
}

void CodeScan::scan_few(std::span<CodeScan> scans, std::size_t first, std::size_t count) {
  State& lead = *scans[0].state_;
  if (lead.planes.empty()) {
    lead.planes.resize(lead.plane.size() * kManyQueries);
    for (std::size_t i = 0; i < kManyQueries; ++i) {
      for (std::size_t word = 0; word < lead.plane.size(); ++word)
        lead.planes[word * kManyQueries + i] = scans[i].state_->plane[word];
    }
  }
  std::array<std::int32_t, kManyQueries * kMostRows> products;
  high_products_of_four()(lead.table.high.data() + first * lead.pairs * 4, code_blocks(count),
                          lead.pairs, lead.planes.data(), products.data(), kMostRows);
  for (std::size_t i = 0; i < kManyQueries; ++i)
    scans[i].state_->take(first, count, products.data() + i * kMostRows);
}

/// Rows that may be near enough wait: what the best of them are rules most of the others out,
/// unread.
void CodeScan::State::take(std::size_t first, std::size_t count, const std::int32_t* products) {
  std::array<float, kMostRows> upper;
  std::array<std::uint64_t, kMostRows / 64> reaching;
  bound_rows()(products,
               {.scales = table.scales.data() + first,
                .high_norms = table.high_norms.data() + first,
                .high_residuals = table.high_residuals.data() + first,
                .high_along = table.high_along.data() + first},
               count, bounds, floor(), upper.data(), reaching.data());
  for (std::size_t word = 0; word * 64 < count; ++word) {
    for (std::uint64_t left = reaching[word]; left != 0; left &= left - 1) {
      const std::size_t i = word * 64 + static_cast<std::size_t>(std::countr_zero(left));
      const std::size_t row = first + i;
      if (filtered && !collector.accepts(ids[row])) continue;
      pending.push_back({upper[i], static_cast<std::uint32_t>(row), products[i]});
    }
  }
  if (first + count < next_settling && pending.size() < most_pending) return;
  refine_best();
  next_settling = 2 * (first + count);
}

void CodeScan::State::refine_best() {
  // About k of them: the border is that of a sample, since sorting all would cost more than it
  // spares. Both lists stay in the order of rows, as they lie in memory.
  constexpr std::size_t kSample = 256;
  const std::size_t wanted = collector.k() + collector.k() / 4 + 8;
  float border = -std::numeric_limits<float>::infinity();
  if (wanted < pending.size()) {
    std::vector<float> sample;
    const std::size_t step = (pending.size() + kSample - 1) / kSample;
    for (std::size_t i = 0; i < pending.size(); i += step) sample.push_back(pending[i].upper);
    const auto at =
        sample.begin() + static_cast<std::ptrdiff_t>(wanted * (sample.size() - 1) / pending.size());
    std::nth_element(sample.begin(), at, sample.end(), std::greater<>());
    border = *at;
  }
  std::vector<Pending> best;
  best.reserve(2 * wanted);
  std::erase_if(pending, [&](const Pending& one) {
    if (one.upper < border) return false;
    best.push_back(one);
    return true;
  });
  refine(best);
  std::erase_if(pending, [&](const Pending& one) { return one.upper < floor(); });
  most_pending = std::max(kFewPending + 16 * collector.k(), 2 * pending.size());
}

void CodeScan::State::score(std::span<const CodeCandidate> some) {
  constexpr std::size_t kAhead = 4;  // vectors on their way from memory
  for (std::size_t i = 0; i < some.size(); ++i) {
    if (!collector.wants(some[i].upper)) break;  // nor those behind it
    if (i + kAhead < some.size()) rows.ahead(some[i + kAhead].row);
    rows.score(some[i].row);
  }
}

void CodeScan::State::refine(std::span<const Pending> some) {
  constexpr std::size_t kAhead = 16;  // rows whose low halves are on their way from memory
  const LowProduct product_of = low_product();
  const auto low_half = [&](const Pending& one) {
    return table.low.data() + std::size_t{one.row} * pairs * 4;
  };
  for (std::size_t i = 0; i < std::min(kAhead, some.size()); ++i)
    prefetch_row(low_half(some[i]), pairs * 4);
  for (std::size_t i = 0; i < some.size(); ++i) {
    if (i + kAhead < some.size()) prefetch_row(low_half(some[i + kAhead]), pairs * 4);
    const std::uint32_t row = some[i].row;
    if (some[i].upper < floor() || norms[row] == 0) continue;
    if (!filtered && !collector.accepts(ids[row])) continue;  // else it was asked before
    rows.touch(row);
    ++num_refined;
    const std::int32_t low =
        product_of(low_half(some[i]), pairs, low_plane.data(), high_plane.data());
    // Both are small beside what they are parts of: code = 16 * (high - 8) + low.
    const float product =
        coded.scale * (16.0F * static_cast<float>(some[i].high_product - bounds.offset) +
                       static_cast<float>(low));
    const float error = coded.error_norm * table.code_norms[row] +
                        bounds.norm * table.residual_norms[row] + bounds.slack;
    const float upper = bounds.mean_product + table.scales[row] * product + error;
    if (upper < floor()) continue;
    candidates.push_back({upper, row});
    lower.add(upper - 2.0F * error);
  }
}

void CodeScan::finish() {
  State& s = *state_;
  s.refine_best();
  s.refine(s.pending);
  s.pending.clear();
  std::erase_if(s.candidates, [&](const CodeCandidate& one) { return one.upper < s.floor(); });
  std::sort(s.candidates.begin(), s.candidates.end(),
            [](const CodeCandidate& a, const CodeCandidate& b) {
              return a.upper > b.upper || (a.upper == b.upper && a.row < b.row);
            });
  s.score(s.candidates);
}

std::int32_t low_product_scalar(const std::uint8_t* low, std::size_t pairs,
                                const std::int32_t* low_plane,
                                const std::int32_t* high_plane) noexcept {
  const auto* q_low = reinterpret_cast<const std::int8_t*>(low_plane);
  const auto* q_high = reinterpret_cast<const std::int8_t*>(high_plane);
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < 4 * pairs; ++j)
    sum += (low[j] & 15) * q_low[j] + (low[j] >> 4) * q_high[j];
  return sum;
}

LowProduct low_product() noexcept {
  static const LowProduct chosen = cpu_features().avx2 ? low_product_avx2 : low_product_scalar;
  return chosen;
}

void high_products_scalar(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                          const std::int32_t* plane, std::int32_t* products) noexcept {
  const auto* query = reinterpret_cast<const std::int8_t*>(plane);
  for (std::size_t block = 0; block < num_blocks; ++block) {
    std::array<std::int32_t, kCodeBlock> sum{};
    for (std::size_t pair = 0; pair < pairs; ++pair) {
      const std::int8_t* q = query + pair * kCodePair;
      for (std::size_t row = 0; row < kCodeBlock; ++row) {
        for (std::size_t j = 0; j < 4; ++j) {
          const std::int32_t byte = high[row * 4 + j];
          sum[row] += (byte & 15) * q[j] + (byte >> 4) * q[4 + j];
        }
      }
      high += kCodeBlock * 4;
    }
    std::copy(sum.begin(), sum.end(), products + block * kCodeBlock);
  }
}

bool gives_the_plain_products(HighProducts one, HighProductsOfFour four) noexcept {
  constexpr std::size_t kBlocks = 2;
  constexpr std::size_t kPairs = 5;
  constexpr std::size_t kRows = kBlocks * kCodeBlock;
  std::array<std::uint8_t, kRows * kPairs * 4> high{};
  std::array<std::int8_t, kPairs * kCodePair * kManyQueries> values{};
  std::uint32_t state = 1;
  const auto next = [&] { return (state = state * 1'664'525U + 1'013'904'223U) >> 24; };
  for (std::uint8_t& byte : high) byte = static_cast<std::uint8_t>(next());
  for (std::int8_t& value : values)
    value = static_cast<std::int8_t>(static_cast<int>(next() % 255) - 127);
  std::array<std::int32_t, 2 * kPairs * kManyQueries> planes{};  // [words, queries]
  std::memcpy(planes.data(), values.data(), values.size());
  std::array<std::int32_t, kRows * kManyQueries> together{};
  four(high.data(), kBlocks, kPairs, planes.data(), together.data(), kRows);
  for (std::size_t query = 0; query < kManyQueries; ++query) {
    std::array<std::int32_t, 2 * kPairs> plane{};
    for (std::size_t word = 0; word < plane.size(); ++word)
      plane[word] = planes[word * kManyQueries + query];
    std::array<std::int32_t, kRows> wanted{};
    std::array<std::int32_t, kRows> alone{};
    high_products_scalar(high.data(), kBlocks, kPairs, plane.data(), wanted.data());
    one(high.data(), kBlocks, kPairs, plane.data(), alone.data());
    if (alone != wanted) return false;
    if (!std::equal(wanted.begin(), wanted.end(),
                    together.begin() + static_cast<std::ptrdiff_t>(query * kRows)))
      return false;
  }
  return true;
}

HighProducts high_products() noexcept {
  // A kernel that a new processor or compiler runs otherwise than the plain one is not used.
  static const HighProducts chosen =
      cpu_features().avx512 && cpu_features().avx512_vnni &&
              gives_the_plain_products(high_products_vnni, high_products_of_four_vnni)
          ? high_products_vnni
      : cpu_features().avx2 &&
              gives_the_plain_products(high_products_avx2, high_products_of_four_avx2)
          ? high_products_avx2
          : high_products_scalar;
  return chosen;
}

HighProductsOfFour high_products_of_four() noexcept {
  if (high_products() == high_products_vnni) return high_products_of_four_vnni;
  return high_products() == high_products_avx2 ? high_products_of_four_avx2 : nullptr;
}

void bound_rows_scalar(const std::int32_t* products, const RowBounds& rows, std::size_t count,
                       const HighBounds& bounds, float floor, float* upper,
                       std::uint64_t* reaching) noexcept {
  std::fill_n(reaching, (count + 63) / 64, 0);
  for (std::size_t i = 0; i < count; ++i) {
    const float product =
        bounds.factor * static_cast<float>(products[i] - bounds.offset) + bounds.shift;
    const float error = bounds.error_norm * rows.high_norms[i] +
                        bounds.across * rows.high_residuals[i] + bounds.slack;
    upper[i] =
        bounds.mean_product + rows.scales[i] * product + bounds.along * rows.high_along[i] + error;
    if (upper[i] >= floor) reaching[i / 64] |= std::uint64_t{1} << (i % 64);
  }
}

BoundRows bound_rows() noexcept {
  static const BoundRows chosen = cpu_features().avx512 && cpu_features().avx512_vnni
                                      ? bound_rows_avx512
                                  : cpu_features().avx2 ? bound_rows_avx2
                                                        : bound_rows_scalar;
  return chosen;
}

}  // namespace nearlite
