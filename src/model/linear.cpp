#include "linear.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "kernels.h"
#include "linear_onednn.h"

namespace nearlite {

/// The weights as our own kernels read them: panels of some columns, each [in][columns].
struct Linear::BuiltIn {
  std::vector<float> panels;
  std::vector<float> bias;
  const Kernels* kernels = nullptr;

  BuiltIn(std::span<const float> weights, std::span<const float> given_bias, std::size_t in,
          std::size_t out)
      : kernels(&nearlite::kernels()) {
    const std::size_t columns = kernels->panel_columns;
    const std::size_t num_panels = (out + columns - 1) / columns;
    panels.assign(num_panels * columns * in, 0.0F);
    bias.assign(num_panels * columns, 0.0F);
    std::copy(given_bias.begin(), given_bias.end(), bias.begin());
    for (std::size_t column = 0; column < out; ++column) {
      float* to = panels.data() + column / columns * columns * in + column % columns;
      const float* from = weights.data() + column * in;
      for (std::size_t k = 0; k < in; ++k) to[k * columns] = from[k];
    }
  }
};

struct Linear::OneDnn : OneDnnWeights {
  using OneDnnWeights::OneDnnWeights;
};

struct LinearContext::OneDnn : OneDnnContext {};

LinearContext::LinearContext() : one_dnn_(std::make_unique<OneDnn>()) {}
LinearContext::~LinearContext() = default;

LinearBackend preferred_linear_backend() { return LinearBackend::kBuiltIn; }

Linear::Linear(std::span<const float> weights, std::span<const float> bias, std::size_t in,
               std::size_t out, LinearBackend backend)
    : in_(in), out_(out) {
  assert(weights.size() == in * out && (bias.empty() || bias.size() == out));
  if (backend == LinearBackend::kOneDnn) {
    auto packed = std::make_unique<OneDnn>(weights, bias, in, out);
    if (packed->rows_are_independent()) one_dnn_ = std::move(packed);
  }
  if (!one_dnn_) built_in_ = std::make_unique<BuiltIn>(weights, bias, in, out);
}

Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

LinearBackend Linear::backend() const noexcept {
  return one_dnn_ ? LinearBackend::kOneDnn : LinearBackend::kBuiltIn;
}

void Linear::run(LinearContext& context, std::size_t rows, const float* source,
                 float* target) const {
  if (rows == 0) return;
  if (one_dnn_) {
    one_dnn_->run(context.one_dnn(), rows, source, target);
    return;
  }
  const PackedGemm packed{built_in_->panels.data(), built_in_->bias.data(), in_, out_};
  built_in_->kernels->gemm(packed, rows, source, target);
}

}  // namespace nearlite
