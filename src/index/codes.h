#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

class Collector;
struct StridedVectors;

// Every vector also as bytes, at a quarter of the memory traffic, with two norms that bound the
// error this makes. So a scan of the bytes can rule out nearly all rows for certain, and only the
// rest is scored in fp32.
//
// Let x be a row scaled to length 1, m the mean of the segment, y = x - m, and y^ = scale * code
// its 8-bit form. A query u of length 1 is coded in two 7-bit planes, u^ = s1 * q1 + s2 * q2. Then
// (Cauchy-Schwarz)
//   | <u, y> - <u^, y^> |  =  | <u - u^, y^> + <u, y - y^> |  <=  |u - u^| |y^|  +  |u| |y - y^|,
// and |y^| (code norm) and |y - y^| (residual norm) are stored, rounded up.
//
// Codes are stored as code + 128 (1 to 255), 16 rows together, 4 dimensions of each in turn: 64
// bytes that one instruction multiplies by 4 bytes of the query, without any sum across lanes.

inline constexpr std::size_t kCodeBlock = 16;  // rows
inline constexpr std::size_t kCodeGroup = 4;   // dimensions

inline std::size_t code_groups(std::size_t dim) { return (dim + kCodeGroup - 1) / kCodeGroup; }
inline std::size_t code_blocks(std::size_t rows) { return (rows + kCodeBlock - 1) / kCodeBlock; }
/// Of the codes of this many rows.
inline std::uint64_t code_bytes(std::uint64_t rows, std::size_t dim) {
  return code_blocks(rows) * code_groups(dim) * kCodeBlock * kCodeGroup;
}

/// The codes of some rows, owned by somebody else (a mapped file).
struct CodeTable {
  std::span<const std::uint8_t> codes;    // [blocks, groups, 16, 4]
  std::span<const float> scales;          // [rows]
  std::span<const float> code_norms;      // [rows]
  std::span<const float> residual_norms;  // [rows]
  std::span<const float> mean;            // [dim]
  std::uint64_t scan_bytes() const { return codes.size() + 3 * scales.size_bytes(); }
};

/// The same, owned; what a segment file stores.
struct EncodedRows {
  std::vector<std::uint8_t> codes;
  std::vector<float> bounds;  // [3, rows]: scales, code norms, residual norms
  std::vector<float> mean;    // [dim]
  CodeTable table() const;
};

/// Mean of the rows scaled to length 1, without those of norm 0. [dim] floats.
std::vector<float> mean_direction(const StridedVectors& rows, std::span<const float> norms);

/// norms: [rows] of vector_norm(); a row of norm 0 gets codes of no meaning.
EncodedRows encode_rows(const VectorRows& rows, std::span<const float> norms);

/// A row that may be among the k nearest.
struct CodeCandidate {
  float upper = 0;  // its similarity is at most this
  std::uint32_t row = 0;
};

/// One query's way through coded rows. At the end it has all rows that may be among the collector's
/// k nearest, for certain: at least every one that is. Dead and filtered rows and those of norm 0
/// are left out.
class CodeScan {
 public:
  /// Rows that scan() takes at most.
  static constexpr std::size_t kMostRows = 16 * kCodeBlock;

  CodeScan(const CodeTable& table, std::span<const float> unit_query, std::span<const float> norms,
           std::span<const VectorId> ids, const Collector& collector);
  CodeScan(CodeScan&&) noexcept;
  ~CodeScan();
  /// Rows from `first`, a multiple of kCodeBlock, on: at most kMostRows.
  void scan(std::size_t first, std::size_t count);
  /// The same for many queries of one table, which share what is read: several times as fast.
  static void scan_many(std::span<CodeScan> scans, std::size_t first, std::size_t count);
  std::vector<CodeCandidate> finish();

 private:
  struct State;
  static void scan_few(std::span<CodeScan> scans, std::size_t first, std::size_t count);
  void take(std::size_t first, std::size_t count, const std::int32_t* products1,
            const std::int32_t* products2);
  std::unique_ptr<State> state_;
};

/// Integer products of blocks of 16 coded rows with both planes of a query; exact, so every
/// implementation agrees. planes: [groups, 4] bytes each, as 32-bit words; products: [num_blocks,
/// 16] each.
using CodeProducts = void (*)(const std::uint8_t* codes, std::size_t num_blocks, std::size_t groups,
                              const std::int32_t* plane1, const std::int32_t* plane2,
                              std::int32_t* products1, std::int32_t* products2) noexcept;
void code_products_scalar(const std::uint8_t* codes, std::size_t num_blocks, std::size_t groups,
                          const std::int32_t* plane1, const std::int32_t* plane2,
                          std::int32_t* products1, std::int32_t* products2) noexcept;
void code_products_avx2(const std::uint8_t* codes, std::size_t num_blocks, std::size_t groups,
                        const std::int32_t* plane1, const std::int32_t* plane2,
                        std::int32_t* products1, std::int32_t* products2) noexcept;
void code_products_vnni(const std::uint8_t* codes, std::size_t num_blocks, std::size_t groups,
                        const std::int32_t* plane1, const std::int32_t* plane2,
                        std::int32_t* products1, std::int32_t* products2) noexcept;
/// The fastest one for this processor.
CodeProducts code_products() noexcept;

/// The same for four queries at once. planes: [groups, 8] words, the two planes of each query in
/// turn; products: [8, stride], of which the first num_blocks * 16 of each row are written.
inline constexpr std::size_t kManyQueries = 4;
using CodeProductsOfFour = void (*)(const std::uint8_t* codes, std::size_t num_blocks,
                                    std::size_t groups, const std::int32_t* planes,
                                    std::int32_t* products, std::size_t stride) noexcept;
void code_products_of_four_vnni(const std::uint8_t* codes, std::size_t num_blocks,
                                std::size_t groups, const std::int32_t* planes,
                                std::int32_t* products, std::size_t stride) noexcept;
/// Null where single queries are as fast.
CodeProductsOfFour code_products_of_four() noexcept;

/// What makes bounds of the products of one query.
struct CodeBounds {
  float scale1 = 0;
  float scale2 = 0;
  std::int32_t offset1 = 0;  // of products1: 128 times the sum of the plane
  std::int32_t offset2 = 0;
  float offset = 0;      // <u, m>
  float error_norm = 0;  // |u - u^|
  float norm = 0;        // |u|
  float slack = 0;
};
/// Of `count` rows the greatest possible similarity and the error that is in it; returns the
/// greatest of `upper`. All arrays: [count].
using BoundRows = float (*)(const std::int32_t* products1, const std::int32_t* products2,
                            const float* scales, const float* code_norms,
                            const float* residual_norms, std::size_t count,
                            const CodeBounds& bounds, float* upper, float* error) noexcept;
float bound_rows_scalar(const std::int32_t* products1, const std::int32_t* products2,
                        const float* scales, const float* code_norms, const float* residual_norms,
                        std::size_t count, const CodeBounds& bounds, float* upper,
                        float* error) noexcept;
float bound_rows_avx2(const std::int32_t* products1, const std::int32_t* products2,
                      const float* scales, const float* code_norms, const float* residual_norms,
                      std::size_t count, const CodeBounds& bounds, float* upper,
                      float* error) noexcept;
float bound_rows_avx512(const std::int32_t* products1, const std::int32_t* products2,
                        const float* scales, const float* code_norms, const float* residual_norms,
                        std::size_t count, const CodeBounds& bounds, float* upper,
                        float* error) noexcept;
BoundRows bound_rows() noexcept;

}  // namespace nearlite
