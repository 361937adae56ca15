#include "codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "row_codes.h"

namespace nearlite {
namespace {

constexpr int kMaxCode = 127;
constexpr int kCodeOffset = 128;
constexpr double kMiddle = 7.5;  // of the 16 codes of one high half

float rounded_up(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

/// Where the 4 bytes of a row and pair stand among the high halves.
std::size_t high_index(std::size_t row, std::size_t pair, std::size_t pairs) {
  return ((row / kCodeBlock * pairs + pair) * kCodeBlock + row % kCodeBlock) * 4;
}

/// Puts both halves of the code + 128 of one dimension where they belong.
void put_code(EncodedRows& encoded, std::size_t row, std::size_t j, std::size_t pairs,
              unsigned code) {
  const std::size_t pair = j / kCodePair;
  const unsigned shift = j % kCodePair < 4 ? 0 : 4;
  const auto put = [&](std::uint8_t& byte, unsigned half) {
    byte = static_cast<std::uint8_t>((byte & (0xF0U >> shift)) | (half << shift));
  };
  put(encoded.high[high_index(row, pair, pairs) + j % 4], code >> 4);
  put(encoded.low[(row * pairs + pair) * 4 + j % 4], code & 15U);
}

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

std::vector<double> direction_of(std::span<const float> mean) {
  double square = 0;
  for (const float value : mean) square += static_cast<double>(value) * static_cast<double>(value);
  std::vector<double> direction(mean.size());
  if (square == 0) return direction;
  for (std::size_t j = 0; j < mean.size(); ++j)
    direction[j] = static_cast<double>(mean[j]) / std::sqrt(square);
  return direction;
}

CodeTable code_table(std::span<const std::uint8_t> high, std::span<const std::uint8_t> low,
                     std::span<const float> bounds, std::span<const float> mean) {
  const std::size_t rows = bounds.size() / kCodeBounds;
  return {.high = high,
          .low = low,
          .scales = bounds.first(rows),
          .code_norms = bounds.subspan(rows, rows),
          .residual_norms = bounds.subspan(2 * rows, rows),
          .high_norms = bounds.subspan(3 * rows, rows),
          .high_residuals = bounds.subspan(4 * rows, rows),
          .high_along = bounds.subspan(5 * rows, rows),
          .mean = mean};
}

EncodedRows encode_rows(const VectorRows& rows, std::span<const float> norms) {
  const std::size_t count = rows.ids.size();
  const std::size_t pairs = code_pairs(rows.dim);
  // 0x88 and 0: the code 0 in every place that no row fills.
  EncodedRows encoded{.high = std::vector<std::uint8_t>(high_code_bytes(count, rows.dim), 0x88),
                      .low = std::vector<std::uint8_t>(count * half_code_bytes(rows.dim), 0),
                      .bounds = std::vector<float>(kCodeBounds * count),
                      .mean = mean_direction({rows.values.data(), rows.dim, rows.dim}, norms)};
  const std::vector<double> direction = direction_of(encoded.mean);
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
    double high_square = 0;
    double high_residual_square = 0;
    double along = 0;
    for (std::size_t j = 0; j < rows.dim; ++j) {
      const double rounded = std::clamp(std::nearbyint(centered[j] * inverse), -127.0, 127.0);
      const auto code = static_cast<unsigned>(static_cast<int>(rounded) + kCodeOffset);
      put_code(encoded, i, j, pairs, code);
      const double decoded = rounded * static_cast<double>(scale);
      const double of_high =
          (static_cast<double>(code & 0xF0U) + kMiddle - kCodeOffset) * static_cast<double>(scale);
      code_square += decoded * decoded;
      residual_square += (centered[j] - decoded) * (centered[j] - decoded);
      high_square += of_high * of_high;
      high_residual_square += (centered[j] - of_high) * (centered[j] - of_high);
      along += (centered[j] - of_high) * direction[j];
    }
    // Products with values near the smallest float lose digits, up to half of its last one each;
    // only vectors of lengths below 1e-30 notice.
    const double underflow =
        static_cast<double>(rows.dim) * 1.5e-45 / static_cast<double>(norms[i]);
    encoded.bounds[i] = scale;
    encoded.bounds[count + i] = rounded_up(std::sqrt(code_square));
    encoded.bounds[2 * count + i] = rounded_up(std::sqrt(residual_square) + underflow);
    encoded.bounds[3 * count + i] = rounded_up(std::sqrt(high_square));
    const double across = std::sqrt(std::max(0.0, high_residual_square - along * along));
    encoded.bounds[4 * count + i] = rounded_up(across + underflow + 1e-7 * std::abs(along));
    encoded.bounds[5 * count + i] = static_cast<float>(along);
  }
  return encoded;
}

}  // namespace nearlite
