#include "kernel_check.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "linear.h"

namespace nearlite {
namespace {

// More rows, columns and inputs than one tile of any instruction set, and a rest of each.
constexpr std::size_t kRows = 15;
constexpr std::size_t kIn = 70;
constexpr std::size_t kOut = 81;
constexpr std::size_t kTokens = 19;
constexpr std::size_t kHeadDim = 32;

/// Numbers in [-1, 1] that are the same everywhere.
std::vector<float> numbers(std::size_t count, std::uint32_t seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>(seed >> 8U) * 0x1p-23F - 1.0F;
  }
  return values;
}

bool are_close(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= tolerance)) return false;
  }
  return true;
}

std::vector<float> product(const Kernels& kernels, Precision precision, Epilogue epilogue) {
  const std::vector<float> weights = numbers(kIn * kOut, 1);
  const std::vector<float> bias = numbers(kOut, 2);
  const std::vector<float> source = numbers(kRows * kIn, 3);
  const WeightPart part{weights, bias};
  std::vector<float> target(kRows * kOut);
  LinearContext context;
  Linear(std::span(&part, 1), kIn, precision, epilogue, kernels)
      .run(context, kRows, source.data(), target.data());
  return target;
}

std::vector<float> attended(decltype(Kernels::attention) attention) {
  const std::vector<float> rows = numbers(kTokens * 3 * kHeadDim, 4);
  std::vector<float> output(kTokens * kHeadDim);
  std::vector<float> scratch(attention_scratch_floats(kTokens, kHeadDim));
  attention({.query = rows.data(),
             .key = rows.data() + kHeadDim,
             .value = rows.data() + 2 * kHeadDim,
             .output = output.data(),
             .scratch = scratch.data(),
             .num_tokens = kTokens,
             .head_dim = kHeadDim,
             .qkv_stride = 3 * kHeadDim,
             .output_stride = kHeadDim});
  return output;
}

std::vector<float> normalized(const Kernels& kernels) {
  std::vector<float> rows = numbers(kRows * kOut, 5);
  const std::vector<float> added = numbers(kRows * kOut, 6);
  const std::vector<float> gamma = numbers(kOut, 7);
  const std::vector<float> beta = numbers(kOut, 8);
  kernels.add_layer_norm(rows.data(), added.data(), gamma.data(), beta.data(), 1e-12F, kRows, kOut);
  return rows;
}

}  // namespace

bool agrees(const Kernels& candidate, const Kernels& judge) {
  struct Case {
    Precision precision;
    Epilogue epilogue;
    float tolerance;
  };
  // One activation each. A value in the middle of two integers may be rounded to either, as not all
  // instruction sets have a fused multiply-add; what is computed wrongly is off by far more.
  for (const Case& each : {Case{Precision::kFp32, Epilogue::kGeluErf, 1e-4F},
                           {Precision::kBf16, Epilogue::kGeluTanh, 1e-4F},
                           {Precision::kInt16, Epilogue::kGeluErfShort, 2e-3F},
                           {Precision::kInt8, Epilogue::kRelu, 0.05F}}) {
    if (!are_close(product(candidate, each.precision, each.epilogue),
                   product(judge, each.precision, each.epilogue), each.tolerance)) {
      return false;
    }
  }
  return are_close(attended(candidate.attention), attended(judge.attention), 1e-5F) &&
         are_close(attended(candidate.attention_words), attended(judge.attention_words), 1e-3F) &&
         are_close(normalized(candidate), normalized(judge), 1e-4F);
}

KernelChoice first_sound(std::span<const Kernels* const> candidates) {
  KernelChoice choice;
  for (const Kernels* candidate : candidates) {
    choice.kernels = candidate;
    if (candidate == candidates.back() || agrees(*candidate, *candidates.back())) break;
    choice.warning += (choice.warning.empty() ? "this processor computes wrongly with " : ", ") +
                      std::string(candidate->name);
  }
  if (!choice.warning.empty())
    choice.warning += "; " + std::string(choice.kernels->name) + " is used";
  return choice;
}

}  // namespace nearlite
