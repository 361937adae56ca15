#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace nearlite {

/// Who multiplies. Our own kernels give a row the same bits for every number of rows on every
/// processor; oneDNN's do with AVX-512 only, so elsewhere the built-in ones step in for it.
enum class LinearBackend { kBuiltIn, kOneDnn };

/// The built-in kernels in fp32: 172 GFLOP/s against 165 of oneDNN 2.6 on one AVX-512 core (88
/// against 83 with AVX2) at the shapes of MiniLM, 5 % more tokens per second in the whole encoder,
/// and nothing to generate at the first text.
LinearBackend preferred_linear_backend();

/// What one thread needs to run Linear layers: the library's primitives per shape and its scratch
/// memory. Used by one thread at a time.
class LinearContext {
 public:
  LinearContext();
  ~LinearContext();
  LinearContext(const LinearContext&) = delete;
  LinearContext& operator=(const LinearContext&) = delete;

  struct OneDnn;
  OneDnn& one_dnn() { return *one_dnn_; }

 private:
  std::unique_ptr<OneDnn> one_dnn_;
};

/// y = x W^T + b in fp32 with weights packed once. Immutable: run() may be called from several
/// threads.
class Linear {
 public:
  /// weights: [out, in] row-major, as checkpoints store them; bias: [out], or empty for none.
  Linear(std::span<const float> weights, std::span<const float> bias, std::size_t in,
         std::size_t out, LinearBackend backend = preferred_linear_backend());
  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  /// Row r of target is the product of row r of source: the same bits whatever the other rows are
  /// and however many. source: [rows, in], target: [rows, out], both with room for
  /// padded_rows(rows); what is behind `rows` is scratch.
  void run(LinearContext& context, std::size_t rows, const float* source, float* target) const;

  std::size_t in() const noexcept { return in_; }
  std::size_t out() const noexcept { return out_; }
  LinearBackend backend() const noexcept;

 private:
  struct BuiltIn;
  struct OneDnn;
  std::size_t in_ = 0;
  std::size_t out_ = 0;
  std::unique_ptr<BuiltIn> built_in_;
  std::unique_ptr<OneDnn> one_dnn_;
};

/// Rows that a product of `rows` rows really computes. A library kernel costs 0.1 to 0.5 ms to make
/// for each number of rows, so only a few numbers are used: 1, 2, 3, 4, then steps of 4 to 32, of
/// 16 to 128 and of 64 beyond.
constexpr std::size_t padded_rows(std::size_t rows) {
  const auto up = [rows](std::size_t step) { return (rows + step - 1) / step * step; };
  if (rows <= 4) return rows;
  if (rows <= 32) return up(4);
  if (rows <= 128) return up(16);
  return up(64);
}

}  // namespace nearlite
