#include "linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/model/precision_class.h"
#include "testing/kernel_sets.h"

namespace nearlite {
namespace {

struct Shape {
  std::size_t in;
  std::size_t out;
};

constexpr Shape kShapes[] = {{384, 100}, {1536, 49}, {20, 7}, {1, 1}, {33, 50}, {100, 48}};

std::vector<float> random(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

double length_of(const float* values, std::size_t count, std::size_t stride = 1) {
  double squares = 0;
  for (std::size_t i = 0; i < count; ++i) {
    squares += static_cast<double>(values[i * stride]) * static_cast<double>(values[i * stride]);
  }
  return std::sqrt(squares);
}

/// Error of a product that a precision may have, as a share of the lengths of its two factors.
double tolerance(Precision precision, std::size_t in) {
  switch (precision) {
    case Precision::kAuto:
    case Precision::kFp32:
      return 1e-6;
    case Precision::kBf16:
      return 4e-3;  // two roundings to 8 bits
    case Precision::kInt16:
      // Half a unit per input, of which a row has 46,000 to its length: all to one side at worst.
      return 2.2e-5 * std::sqrt(static_cast<double>(in)) + 1e-6;
    case Precision::kInt8:
      return 0.04;
  }
  return 0;
}

class EveryPrecision : public ::testing::TestWithParam<std::tuple<Precision, const Kernels*>> {
 protected:
  void SetUp() override {
    if (!testing::can_run(kernel_set())) GTEST_SKIP() << "not on this processor";
  }
  Precision precision() const { return std::get<0>(GetParam()); }
  const Kernels& kernel_set() const { return *std::get<1>(GetParam()); }
  Linear make(std::span<const float> weights, std::span<const float> bias, std::size_t in,
              std::size_t out, Epilogue epilogue = Epilogue::kNone) const {
    EXPECT_EQ(weights.size(), in * out);
    const WeightPart part{weights, bias};
    return {std::span(&part, 1), in, precision(), epilogue, kernel_set()};
  }
};

TEST_P(EveryPrecision, MultipliesLikeTheDefinition) {
  LinearContext context;
  for (const auto& [in, out] : kShapes) {
    const auto weights = random(in * out, 1);
    const auto bias = random(out, 2);
    const Linear linear = make(weights, bias, in, out);
    for (const std::size_t rows : {1, 11}) {
      const auto source = random(rows * in, 3);
      std::vector<float> target(rows * out);
      linear.run(context, rows, source.data(), target.data());
      for (std::size_t r = 0; r < rows; ++r) {
        const double row_length = length_of(source.data() + r * in, in);
        for (std::size_t o = 0; o < out; ++o) {
          double expected = bias[o];
          for (std::size_t i = 0; i < in; ++i) {
            expected +=
                static_cast<double>(source[r * in + i]) * static_cast<double>(weights[o * in + i]);
          }
          const double size = row_length * length_of(weights.data() + o * in, in) + 1;
          ASSERT_NEAR(target[r * out + o], expected, tolerance(precision(), in) * size)
              << in << "x" << out;
        }
      }
    }
  }
}

TEST_P(EveryPrecision, AppliesTheActivationAfterTheBias) {
  LinearContext context;
  const std::size_t in = 40;
  const std::size_t out = 70;
  const auto weights = random(in * out, 1);
  const auto bias = random(out, 2);
  const auto source = random(11 * in, 3);
  std::vector<float> plain(11 * out);
  make(weights, bias, in, out).run(context, 11, source.data(), plain.data());
  using Apply = void (*)(float*, std::size_t) noexcept;
  for (const auto& [epilogue, apply] :
       {std::pair<Epilogue, Apply>{Epilogue::kGeluErf, kernel_set().gelu_erf},
        {Epilogue::kGeluErfShort, kernel_set().gelu_erf_short},
        {Epilogue::kGeluTanh, kernel_set().gelu_tanh},
        {Epilogue::kRelu, kernel_set().relu}}) {
    std::vector<float> expected = plain;
    apply(expected.data(), expected.size());
    std::vector<float> target(plain.size());
    make(weights, bias, in, out, epilogue).run(context, 11, source.data(), target.data());
    EXPECT_EQ(target, expected);
  }
}

TEST_P(EveryPrecision, GivesARowTheSameBitsForEveryNumberOfRows) {
  LinearContext context;
  constexpr std::size_t kMost = 70;
  for (const auto& [in, out] : kShapes) {
    const Linear linear = make(random(in * out, 1), random(out, 2), in, out);
    const auto source = random(kMost * in, 3);
    std::vector<float> all(kMost * out);
    linear.run(context, kMost, source.data(), all.data());
    for (const std::size_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 24, 69}) {
      // From the end, so that a row also changes its place in the tiles.
      std::vector<float> target(rows * out);
      linear.run(context, rows, source.data() + (kMost - rows) * in, target.data());
      ASSERT_EQ(0, std::memcmp(target.data(), all.data() + (kMost - rows) * out,
                               rows * out * sizeof(float)))
          << in << "x" << out << " with " << rows << " rows";
    }
  }
}

TEST_P(EveryPrecision, PutsPartsBesideOneAnotherAndScalesThem) {
  LinearContext context;
  const std::size_t in = 40;
  const auto first = random(in * 50, 1);
  const auto second = random(in * 7, 2);
  const auto bias = random(50, 3);
  const auto source = random(3 * in, 4);
  const WeightPart parts[] = {{first, bias, 0.25F}, {second, {}}};
  const Linear both(parts, in, precision(), Epilogue::kNone, kernel_set());
  ASSERT_EQ(both.out(), 57U);
  std::vector<float> together(3 * 57);
  std::vector<float> left(3 * 50);
  std::vector<float> right(3 * 7);
  both.run(context, 3, source.data(), together.data());
  make(first, bias, in, 50).run(context, 3, source.data(), left.data());
  make(second, {}, in, 7).run(context, 3, source.data(), right.data());
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t o = 0; o < 57; ++o) {
      const float expected = o < 50 ? 0.25F * left[r * 50 + o] : right[r * 7 + o - 50];
      ASSERT_NEAR(together[r * 57 + o], expected, 1e-6F * (1 + std::abs(expected)))
          << r << " " << o;
    }
  }
}

TEST_P(EveryPrecision, NeedsNoBias) {
  LinearContext context;
  const std::vector<float> weights{1, 2, 3, 4};
  const std::vector<float> source{10, 1};
  std::vector<float> target(2);
  make(weights, {}, 2, 2).run(context, 1, source.data(), target.data());
  EXPECT_NEAR(target[0], 12, 23 * tolerance(precision(), 2));
  EXPECT_NEAR(target[1], 34, 51 * tolerance(precision(), 2));
}

// Rows that point where the columns point, or consist of one large value, have the largest sums
// that integers can get; zeros have no scale at all.
TEST_P(EveryPrecision, StandsTheLargestSumsAndZeros) {
  LinearContext context;
  const std::size_t in = 1536;
  std::vector<float> weights(4 * in, 1.0F);                                       // all equal
  for (std::size_t i = 0; i < in; ++i) weights[in + i] = i == 7 ? -1e6F : 1e-3F;  // one outlier
  for (std::size_t i = 0; i < in; ++i) weights[2 * in + i] = 0.0F;
  for (std::size_t i = 0; i < in; ++i) weights[3 * in + i] = i % 2 == 0 ? 1e-15F : -1e-15F;
  const Linear linear = make(weights, {}, in, 4);
  for (std::size_t r = 0; r < 4; ++r) {
    const float* row = weights.data() + r * in;
    std::vector<float> target(4, NAN);
    linear.run(context, 1, row, target.data());
    for (std::size_t o = 0; o < 4; ++o) {
      double expected = 0;
      for (std::size_t i = 0; i < in; ++i) {
        expected += static_cast<double>(row[i]) * static_cast<double>(weights[o * in + i]);
      }
      const double size = length_of(row, in) * length_of(weights.data() + o * in, in);
      // A sum of equal numbers is rounded to the same side each time.
      const double least = std::max(tolerance(precision(), in), 1e-4);
      EXPECT_NEAR(target[o], expected, least * size) << r << " " << o;
    }
  }
}

TEST_P(EveryPrecision, MayRunInSeveralThreads) {
  const std::size_t in = 64;
  const std::size_t out = 96;
  const std::size_t rows = 32;
  const Linear linear = make(random(in * out, 1), random(out, 2), in, out);
  const auto source = random(rows * in, 3);
  std::vector<std::vector<float>> targets(4, std::vector<float>(rows * out));
  std::vector<std::thread> threads;
  for (auto& target : targets) {
    threads.emplace_back([&] {
      LinearContext context;
      for (int i = 0; i < 20; ++i) linear.run(context, rows, source.data(), target.data());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& target : targets) EXPECT_EQ(target, targets[0]);
}

INSTANTIATE_TEST_SUITE_P(Linear, EveryPrecision,
                         ::testing::Combine(::testing::Values(Precision::kFp32, Precision::kBf16,
                                                              Precision::kInt16, Precision::kInt8),
                                            ::testing::ValuesIn(testing::kKernelSets)),
                         [](const auto& instance) {
                           return std::string(precision_name(std::get<0>(instance.param))) + "_" +
                                  std::get<1>(instance.param)->name;
                         });

// What makes the exact sums worth having: the instruction sets cannot disagree about them.
TEST(IntegerProducts, AreTheSameForEveryInstructionSet) {
  LinearContext context;
  const std::size_t in = 130;
  const std::size_t out = 96;
  // The first four of each row, and what the rest may have at most, make the scale 1.
  const auto whole_numbers = [](std::size_t count, unsigned seed, int most, float second) {
    std::mt19937 generator(seed);
    std::vector<float> values(count);
    for (float& value : values) {
      value = static_cast<float>(static_cast<int>(generator() % (2U * most + 1U)) - most);
    }
    for (std::size_t i = 0; i < count; i += 130) {
      values[i] = 127.0F;
      values[i + 1] = second;
      values[i + 2] = values[i + 3] = 64.0F;
    }
    return values;
  };
  const auto weights = whole_numbers(in * out, 1, 64, -1.0F);
  const auto source = whole_numbers(9 * in, 2, 127, -127.0F);
  for (const Kernels* kernels : testing::kKernelSets) {
    if (!testing::can_run(*kernels)) continue;
    std::vector<float> target(9 * out);
    const WeightPart part{weights, {}};
    Linear(std::span(&part, 1), in, Precision::kInt8, Epilogue::kNone, *kernels)
        .run(context, 9, source.data(), target.data());
    for (std::size_t r = 0; r < 9; ++r) {
      for (std::size_t o = 0; o < out; ++o) {
        double expected = 0;
        for (std::size_t i = 0; i < in; ++i) {
          expected +=
              static_cast<double>(source[r * in + i]) * static_cast<double>(weights[o * in + i]);
        }
        ASSERT_EQ(target[r * out + o], expected) << kernels->name;
      }
    }
  }
}

// One input and one weight a hundred times the others: the others keep their digits.
TEST_P(EveryPrecision, KeepsTheDigitsOfTheOthersBesideOutliers) {
  if (precision() != Precision::kInt8) GTEST_SKIP() << "int8 only";
  LinearContext context;
  const std::size_t in = 100;
  const std::size_t out = 50;
  auto weights = random(in * out, 1);
  auto source = random(3 * in, 2);
  for (std::size_t o = 0; o < out; o += 3) weights[o * in + 17] = 300.0F;
  for (std::size_t o = 1; o < out; o += 3) weights[o * in + 55] = -300.0F;
  source[in + 17] = -500.0F;
  source[in + 60] = 400.0F;
  source[2 * in + 3] = 200.0F;
  std::vector<float> target(3 * out);
  make(weights, {}, in, out).run(context, 3, source.data(), target.data());
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t o = 0; o < out; ++o) {
      double expected = 0;
      double large = 0;  // of the inputs that are outliers
      for (std::size_t i = 0; i < in; ++i) {
        const auto input = static_cast<double>(source[r * in + i]);
        expected += input * static_cast<double>(weights[o * in + i]);
        if (std::abs(input) > 100) large += std::abs(input);
      }
      // Without outliers the error is about 0.2. An outlier of the inputs meets rounded weights
      // (half a unit of about 3 / 100); one of the weights meets exact inputs.
      EXPECT_NEAR(target[r * out + o], expected, 0.8 + 0.016 * large) << r << " " << o;
    }
  }
}

// Weights whose neighbours are as large as they get, times the largest inputs: sixteen bits would
// not hold the sum of two products of 254 and 127.
TEST(IntegerProducts, DoNotOverflowInThePairsOfTheOldInstructions) {
  LinearContext context;
  const std::size_t in = 64;
  for (const Kernels* kernels : testing::kKernelSets) {
    if (!testing::can_run(*kernels)) continue;
    const std::vector<float> weights(in, 1.0F);
    std::vector<float> source(in, 1.0F);
    const WeightPart part{weights, {}};
    const Linear linear(std::span(&part, 1), in, Precision::kInt8, Epilogue::kNone, *kernels);
    float sum = 0;
    linear.run(context, 1, source.data(), &sum);
    EXPECT_NEAR(sum, 64.0F, 0.3F) << kernels->name;
    for (float& value : source) value = -1.0F;
    linear.run(context, 1, source.data(), &sum);
    EXPECT_NEAR(sum, -64.0F, 0.3F) << kernels->name;
  }
}

TEST(PrecisionNames, GoBothWays) {
  for (const char* name : {"auto", "fp32", "bf16", "int16", "int8"}) {
    EXPECT_EQ(precision_name(precision_of_name(name)), name);
  }
  EXPECT_THROW(precision_of_name("fp16"), InvalidArgument);
  EXPECT_EQ(chosen_precision(Precision::kAuto), Precision::kInt16);
  EXPECT_EQ(chosen_precision(Precision::kInt8), Precision::kInt8);
}

TEST(PrecisionClass, IsOneForAllThatAgreeWithFp32) {
  for (const char* name : {"auto", "bf16", "int16"}) {
    EXPECT_EQ(precision_class(precision_of_name(name)), precision_class(Precision::kFp32));
  }
  EXPECT_NE(precision_class(Precision::kInt8), precision_class(Precision::kFp32));
}

}  // namespace
}  // namespace nearlite
