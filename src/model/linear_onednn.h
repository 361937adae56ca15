#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace nearlite {

/// Engine, primitives per shape and scratch memory of one thread.
class OneDnnContext {
 public:
  OneDnnContext();
  ~OneDnnContext();
  OneDnnContext(const OneDnnContext&) = delete;
  OneDnnContext& operator=(const OneDnnContext&) = delete;

  struct State;
  State& state();

 private:
  std::unique_ptr<State>
      state_;  // made at the first use: a process without it loads nothing of the library's
};

/// One weight matrix in the library's own layout, which depends on its version and on the
/// processor: never stored.
class OneDnnWeights {
 public:
  /// As Linear. Throws Unavailable if the library fails.
  OneDnnWeights(std::span<const float> weights, std::span<const float> bias, std::size_t in,
                std::size_t out);
  ~OneDnnWeights();
  OneDnnWeights(const OneDnnWeights&) = delete;
  OneDnnWeights& operator=(const OneDnnWeights&) = delete;

  /// Whether the kernels that the library chose give a row the same bits for every number of rows.
  bool rows_are_independent() const noexcept;

  void run(OneDnnContext& context, std::size_t rows, const float* source, float* target) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

}  // namespace nearlite
