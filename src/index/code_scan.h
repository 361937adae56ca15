#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "codes.h"

namespace nearlite {

class Collector;

/// One query's way through coded rows: the high halves of all, both halves of those that may still
/// be near enough, and the vectors of those that may then: at least every one that is among the
/// collector's k nearest, for certain. Dead and filtered rows and those of norm 0 are left out.
class CodeScan {
 public:
  /// Rows that scan() takes at most.
  static constexpr std::size_t kMostRows = 16 * kCodeBlock;

  struct Rows {
    std::function<void(std::size_t row)> touch;  // told of a row before its low half is read
    std::function<void(std::size_t row)> score;  // offers the row to the collector
    std::function<void(std::size_t row)> ahead;  // told of a row before it is scored, perhaps
  };
  /// norms, ids: [rows]. What is given must live as long as the scan.
  CodeScan(const CodeTable& table, std::span<const float> unit_query, std::span<const float> norms,
           std::span<const VectorId> ids, const Collector& collector, const Rows& rows);
  CodeScan(CodeScan&&) noexcept;
  ~CodeScan();
  /// Rows from `first`, a multiple of kCodeBlock, on: at most kMostRows.
  void scan(std::size_t first, std::size_t count);
  /// The same for many queries of one table, which share what is read.
  static void scan_many(std::span<CodeScan> scans, std::size_t first, std::size_t count);
  /// Has every row scored that is left. Once, at the end.
  void finish();
  /// Rows of which both halves were looked at so far.
  std::size_t num_refined() const noexcept;

 private:
  struct State;
  static void scan_few(std::span<CodeScan> scans, std::size_t first, std::size_t count);
  std::unique_ptr<State> state_;
};

/// Integer products of the high halves of blocks of 16 rows with a query; exact, so every
/// implementation agrees. plane: [pairs, 8] signed bytes, as 32-bit words; products: [num_blocks,
/// 16].
using HighProducts = void (*)(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                              const std::int32_t* plane, std::int32_t* products) noexcept;
void high_products_scalar(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                          const std::int32_t* plane, std::int32_t* products) noexcept;
void high_products_avx2(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                        const std::int32_t* plane, std::int32_t* products) noexcept;
void high_products_vnni(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                        const std::int32_t* plane, std::int32_t* products) noexcept;
/// The fastest one for this processor.
HighProducts high_products() noexcept;

/// The same for four queries at once. planes: [2 * pairs, 4] words, those of the queries in turn;
/// products: [4, stride], of which the first num_blocks * 16 of each row are written.
inline constexpr std::size_t kManyQueries = 4;
using HighProductsOfFour = void (*)(const std::uint8_t* high, std::size_t num_blocks,
                                    std::size_t pairs, const std::int32_t* planes,
                                    std::int32_t* products, std::size_t stride) noexcept;
void high_products_of_four_avx2(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                                const std::int32_t* planes, std::int32_t* products,
                                std::size_t stride) noexcept;
void high_products_of_four_vnni(const std::uint8_t* high, std::size_t num_blocks, std::size_t pairs,
                                const std::int32_t* planes, std::int32_t* products,
                                std::size_t stride) noexcept;
/// Null where single queries are as fast.
HighProductsOfFour high_products_of_four() noexcept;
/// Whether both give the sums of high_products_scalar() for some made up codes and queries: tried
/// before they are chosen, so that no answer depends on a kernel that this processor runs
/// otherwise.
bool gives_the_plain_products(HighProducts one, HighProductsOfFour four) noexcept;

/// Integer product of the low halves of one row with a query. low: [4 * pairs] bytes; low_plane,
/// high_plane: the words of the plane for the low and for the high half of each byte, [pairs
/// rounded up to a multiple of 8].
using LowProduct = std::int32_t (*)(const std::uint8_t* low, std::size_t pairs,
                                    const std::int32_t* low_plane,
                                    const std::int32_t* high_plane) noexcept;
std::int32_t low_product_scalar(const std::uint8_t* low, std::size_t pairs,
                                const std::int32_t* low_plane,
                                const std::int32_t* high_plane) noexcept;
std::int32_t low_product_avx2(const std::uint8_t* low, std::size_t pairs,
                              const std::int32_t* low_plane,
                              const std::int32_t* high_plane) noexcept;
LowProduct low_product() noexcept;

/// What makes bounds of the products of one query.
struct HighBounds {
  float factor = 0;         // of products - offset, before the row's scale
  float shift = 0;          // the middle of a high half times the sum of the query
  std::int32_t offset = 0;  // 8 times the sum of the plane
  float mean_product = 0;   // <u, m>
  float error_norm = 0;     // |u - u^|
  float norm = 0;           // |u|
  float along = 0;          // <u, m / |m|>
  float across = 0;         // |u| at right angles to m
  float slack = 0;          // of floating point itself
};
/// What is stored of `count` rows, from some row on: [count] each.
struct RowBounds {
  const float* scales;
  const float* high_norms;
  const float* high_residuals;
  const float* high_along;
};
/// Of `count` rows the greatest possible similarity, and in `reaching` (a bit a row, [count / 64
/// rounded up] words) those where it is at least `floor`. products, upper: [count]. Every
/// implementation gives the same bits.
using BoundRows = void (*)(const std::int32_t* products, const RowBounds& rows, std::size_t count,
                           const HighBounds& bounds, float floor, float* upper,
                           std::uint64_t* reaching) noexcept;
void bound_rows_scalar(const std::int32_t* products, const RowBounds& rows, std::size_t count,
                       const HighBounds& bounds, float floor, float* upper,
                       std::uint64_t* reaching) noexcept;
void bound_rows_avx2(const std::int32_t* products, const RowBounds& rows, std::size_t count,
                     const HighBounds& bounds, float floor, float* upper,
                     std::uint64_t* reaching) noexcept;
void bound_rows_avx512(const std::int32_t* products, const RowBounds& rows, std::size_t count,
                       const HighBounds& bounds, float floor, float* upper,
                       std::uint64_t* reaching) noexcept;
BoundRows bound_rows() noexcept;

}  // namespace nearlite
