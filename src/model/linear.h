#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels.h"
#include "nearlite/model/precision.h"
#include "weight_memory.h"

namespace nearlite {

/// Scratch memory that one thread needs to run Linear layers. Used by one thread at a time.
struct LinearContext {
  std::vector<float> rounded;
  std::vector<std::int16_t> words;
  std::vector<std::uint8_t> bytes;
  std::vector<float> scales;
  std::vector<std::int32_t> zeros;
  std::vector<Outliers> outliers;
};

/// Some columns of a product: rows of a weight matrix as checkpoints store them.
struct WeightPart {
  std::span<const float> weights;  // [out, in] row-major
  std::span<const float> bias;     // [out], or empty for none
  float scale = 1.0F;              // both are multiplied with it
};

/// y = epilogue(x W^T + b) with weights packed once. Immutable: run() may be called from several
/// threads.
class Linear {
 public:
  /// The columns of all parts beside one another; at least one part. `kernels` decides the layout;
  /// tests give others than the processor's best. `memory`: where the packed weights go; nullptr:
  /// to the heap.
  Linear(std::span<const WeightPart> parts, std::size_t in, Precision precision,
         Epilogue epilogue = Epilogue::kNone, const Kernels& kernels = nearlite::kernels(),
         std::shared_ptr<WeightMemory> memory = nullptr);
  ~Linear();
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  /// Row r of target is the product of row r of source: the same bits whatever the other rows are
  /// and however many. source: [rows, in], target: [rows, out].
  void run(LinearContext& context, std::size_t rows, const float* source, float* target) const;

  std::size_t in() const noexcept { return in_; }
  std::size_t out() const noexcept { return out_; }

 private:
  struct Packed;
  std::size_t in_ = 0;
  std::size_t out_ = 0;
  std::unique_ptr<const Packed> packed_;
};

}  // namespace nearlite
