// The only file that knows oneDNN: its interface for scales and layouts changes between versions 2
// and 3.
#include "linear_onednn.h"

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "linear.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

using dnnl::memory;

constexpr std::size_t kLargestPrimitive = 512;  // rows; more are cut into pieces of this size

dnnl::engine& cpu_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);  // has no state that calls would change
  return engine;
}

memory::dim dim_of(std::size_t value) { return static_cast<memory::dim>(value); }

memory::desc rows_by(std::size_t rows, std::size_t columns) {
  return {{dim_of(rows), dim_of(columns)}, memory::data_type::f32, memory::format_tag::ab};
}

/// weights: the packed layout, or nothing to let the library choose one.
dnnl::matmul::primitive_desc describe(std::size_t rows, std::size_t in, std::size_t out,
                                      const memory::desc* weights) {
  const memory::desc any({dim_of(in), dim_of(out)}, memory::data_type::f32,
                         memory::format_tag::any);
  const memory::desc bias({1, dim_of(out)}, memory::data_type::f32, memory::format_tag::ab);
  dnnl::primitive_attr attributes;
  // The default scratchpad belongs to the thread that created the primitive; ours belongs to the
  // context.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return {dnnl::matmul::desc(rows_by(rows, in), weights ? *weights : any, bias, rows_by(rows, out)),
          attributes, cpu_engine()};
}

/// The library's kernels named "brg" walk the inner dimension in one order for every number of rows
/// (tested for all bucket sizes); its older ones switch between tile shapes that sum differently.
bool is_row_independent(const dnnl::matmul::primitive_desc& description) {
  return std::string(description.impl_info_str()).starts_with("brg");
}

[[noreturn]] void throw_library_error(const dnnl::error& error, std::size_t in, std::size_t out) {
  throw Unavailable("oneDNN failed on a matrix of " + std::to_string(in) + " x " +
                    std::to_string(out) + ": " + error.what());
}

/// One OpenMP thread while it lives: workers are ours, and the library's own would only wait for
/// one another.
class OneOpenMpThread {
 public:
  OneOpenMpThread() : saved_(omp_get_max_threads()) {
    if (saved_ != 1) omp_set_num_threads(1);
  }
  ~OneOpenMpThread() {
    if (saved_ != 1) omp_set_num_threads(saved_);
  }
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  int saved_;
};

}  // namespace

struct OneDnnContext::State {
  using Shape = std::tuple<std::size_t, std::size_t, std::size_t>;  // rows, in, out
  struct Product {
    dnnl::matmul primitive;
    memory source;
    memory target;
    memory scratch;
  };
  dnnl::stream stream{cpu_engine()};
  std::map<Shape, Product> products;
  std::vector<float> scratch;
};

OneDnnContext::OneDnnContext() = default;
OneDnnContext::~OneDnnContext() = default;

OneDnnContext::State& OneDnnContext::state() {
  if (!state_) state_ = std::make_unique<State>();
  return *state_;
}

struct OneDnnWeights::Packed {
  std::size_t in = 0;
  std::size_t out = 0;
  std::vector<float> bias;
  memory::desc layout;
  memory weights;
  bool rows_are_independent = false;
};

OneDnnWeights::OneDnnWeights(std::span<const float> weights, std::span<const float> bias,
                             std::size_t in, std::size_t out)
    : packed_(std::make_unique<Packed>()) {
  const OneOpenMpThread one_thread;
  try {
    packed_->in = in;
    packed_->out = out;
    packed_->bias.assign(out, 0.0F);
    std::copy(bias.begin(), bias.end(), packed_->bias.begin());
    const auto description = describe(64, in, out, nullptr);
    packed_->layout = description.weights_desc();
    // One row must take the same kernels and the same layout.
    const auto single = describe(1, in, out, &packed_->layout);
    packed_->rows_are_independent = is_row_independent(description) && is_row_independent(single);
    if (!packed_->rows_are_independent) return;
    packed_->weights = memory(packed_->layout, cpu_engine());
    const memory::desc as_stored({dim_of(in), dim_of(out)}, memory::data_type::f32,
                                 memory::format_tag::ba);
    // The library's handle is not const, but a reorder only reads its source.
    memory source(as_stored, cpu_engine(), const_cast<float*>(weights.data()));
    dnnl::stream stream(cpu_engine());
    dnnl::reorder(source, packed_->weights).execute(stream, source, packed_->weights);
    stream.wait();
  } catch (const dnnl::error& error) {
    throw_library_error(error, in, out);
  }
}

OneDnnWeights::~OneDnnWeights() = default;

bool OneDnnWeights::rows_are_independent() const noexcept { return packed_->rows_are_independent; }

void OneDnnWeights::run(OneDnnContext& context, std::size_t rows, const float* source,
                        float* target) const {
  const OneOpenMpThread one_thread;
  OneDnnContext::State& state = context.state();
  try {
    for (std::size_t first = 0; first < rows; first += kLargestPrimitive) {
      const std::size_t count = padded_rows(std::min(kLargestPrimitive, rows - first));
      const OneDnnContext::State::Shape shape{count, packed_->in, packed_->out};
      auto found = state.products.find(shape);
      if (found == state.products.end()) {
        const auto description = describe(count, packed_->in, packed_->out, &packed_->layout);
        if (!is_row_independent(description)) {
          throw Unavailable("oneDNN has no row-independent kernel for " + std::to_string(count) +
                            " rows");
        }
        const std::size_t scratch_bytes = description.scratchpad_desc().get_size();
        if (state.scratch.size() * sizeof(float) < scratch_bytes) {
          state.scratch.resize((scratch_bytes + sizeof(float) - 1) / sizeof(float));
        }
        found = state.products
                    .emplace(shape,
                             OneDnnContext::State::Product{
                                 dnnl::matmul(description),
                                 memory(rows_by(count, packed_->in), cpu_engine(), nullptr),
                                 memory(rows_by(count, packed_->out), cpu_engine(), nullptr),
                                 memory(description.scratchpad_desc(), cpu_engine(), nullptr)})
                    .first;
      }
      auto& product = found->second;
      product.source.set_data_handle(const_cast<float*>(source + first * packed_->in));
      product.target.set_data_handle(target + first * packed_->out);
      product.scratch.set_data_handle(state.scratch.data());
      memory bias({{1, dim_of(packed_->out)}, memory::data_type::f32, memory::format_tag::ab},
                  cpu_engine(), const_cast<float*>(packed_->bias.data()));
      product.primitive.execute(state.stream, {{DNNL_ARG_SRC, product.source},
                                               {DNNL_ARG_WEIGHTS, packed_->weights},
                                               {DNNL_ARG_BIAS, bias},
                                               {DNNL_ARG_DST, product.target},
                                               {DNNL_ARG_SCRATCHPAD, product.scratch}});
      state.stream.wait();
    }
  } catch (const dnnl::error& error) {
    throw_library_error(error, packed_->in, packed_->out);
  }
}

}  // namespace nearlite
