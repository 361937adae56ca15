#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

struct StridedVectors;

// Every vector also as bytes, with norms that bound the error this makes. So a scan of half a byte
// per value can rule out nearly all rows for certain, the other half most of the rest, and only
// what is left is scored in fp32.
//
// Let x be a row scaled to length 1, m the mean of the segment, y = x - m, and y^ = scale * code
// its 8-bit form, code in -127 to 127. Stored is code + 128 = 16 * high + low. High alone stands
// for the middle of the 16 codes it can be: y' = scale * (16 * high + 7.5 - 128). For a query u of
// length 1 that is coded as u^, Cauchy and Schwarz bound the error of a product of codes:
//   | <u, y> - <u^, y^> |  =  | <u - u^, y^> + <u, y - y^> |  <=  |u - u^| |y^|  +  |u| |y - y^|,
// and the same with y'. |y^|, |y - y^| and |y'| are stored, rounded up. Texts of one kind have much
// in common: u and m point nearly the same way. So what y - y' is along m is stored and used as it
// is, and only the rest is bounded: |u'| |r'|, the parts of u and of y - y' that stand at right
// angles to m.
//
// High halves stand 16 rows together, 8 dimensions of each in turn: 64 bytes, of which byte 4 r + j
// is dimension j of row r in its low and dimension 4 + j in its high half. One instruction
// multiplies them with 4 bytes of the query, without any sum across lanes. Low halves stand row by
// row, packed the same way: they are read for single rows.

inline constexpr std::size_t kCodeBlock = 16;  // rows
inline constexpr std::size_t kCodePair = 8;    // dimensions, in 4 bytes

inline std::size_t code_pairs(std::size_t dim) { return (dim + kCodePair - 1) / kCodePair; }
inline std::size_t code_blocks(std::size_t rows) { return (rows + kCodeBlock - 1) / kCodeBlock; }
/// Of one row, in either half.
inline std::size_t half_code_bytes(std::size_t dim) { return 4 * code_pairs(dim); }
inline std::uint64_t high_code_bytes(std::uint64_t rows, std::size_t dim) {
  return code_blocks(rows) * kCodeBlock * half_code_bytes(dim);
}

/// The codes of some rows, owned by somebody else (a mapped file).
struct CodeTable {
  std::span<const std::uint8_t> high;     // [blocks, pairs, 16, 4]
  std::span<const std::uint8_t> low;      // [rows, pairs, 4]
  std::span<const float> scales;          // [rows]
  std::span<const float> code_norms;      // [rows] |y^|
  std::span<const float> residual_norms;  // [rows] |y - y^|
  std::span<const float> high_norms;      // [rows] |y'|
  std::span<const float> high_residuals;  // [rows] |y - y'| at right angles to the mean
  std::span<const float> high_along;      // [rows] <y - y', m / |m|>
  std::span<const float> mean;            // [dim]
  /// What a scan reads of every row.
  std::uint64_t scan_bytes() const { return high.size() + 4 * scales.size_bytes(); }
};

/// Of the bounds in one piece, [kCodeBounds, rows] in the order of CodeTable.
inline constexpr std::size_t kCodeBounds = 6;
CodeTable code_table(std::span<const std::uint8_t> high, std::span<const std::uint8_t> low,
                     std::span<const float> bounds, std::span<const float> mean);

/// The same, owned; what a segment file stores.
struct EncodedRows {
  std::vector<std::uint8_t> high;
  std::vector<std::uint8_t> low;
  std::vector<float> bounds;  // [kCodeBounds, rows]
  std::vector<float> mean;    // [dim]
  CodeTable table() const { return code_table(high, low, bounds, mean); }
};

/// Mean of the rows scaled to length 1, without those of norm 0. [dim] floats.
std::vector<float> mean_direction(const StridedVectors& rows, std::span<const float> norms);

/// The mean scaled to length 1; zeros if it has none.
std::vector<double> direction_of(std::span<const float> mean);

/// norms: [rows] of vector_norm(); a row of norm 0 gets codes of no meaning.
EncodedRows encode_rows(const VectorRows& rows, std::span<const float> norms);

}  // namespace nearlite
