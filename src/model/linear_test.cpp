#include "linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace nearlite {
namespace {

struct Shape {
  std::size_t in;
  std::size_t out;
};

class EveryBackend : public testing::TestWithParam<LinearBackend> {
 protected:
  static std::vector<float> random(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
  }
  static constexpr Shape kShapes[] = {{384, 1152}, {384, 384}, {384, 1536}, {1536, 384},
                                      {20, 7},     {1, 1},     {33, 50},    {100, 48}};
};

TEST_P(EveryBackend, MultipliesLikeTheDefinition) {
  LinearContext context;
  for (const auto& [in, out] : kShapes) {
    const auto weights = random(in * out, 1);
    const auto bias = random(out, 2);
    const Linear linear(weights, bias, in, out, GetParam());
    for (const std::size_t rows : {1, 5, 13}) {
      const auto source = random(padded_rows(rows) * in, 3);
      std::vector<float> target(padded_rows(rows) * out);
      linear.run(context, rows, source.data(), target.data());
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t o = 0; o < out; ++o) {
          double expected = bias[o];
          double size = std::abs(expected);
          for (std::size_t i = 0; i < in; ++i) {
            const double product =
                static_cast<double>(source[r * in + i]) * static_cast<double>(weights[o * in + i]);
            expected += product;
            size += std::abs(product);
          }
          ASSERT_NEAR(target[r * out + o], expected, 1e-6 * size) << in << "x" << out;
        }
      }
    }
  }
}

TEST_P(EveryBackend, GivesARowTheSameBitsForEveryNumberOfRows) {
  LinearContext context;
  constexpr std::size_t kMost = 600;  // more than the largest piece
  for (const auto& [in, out] : kShapes) {
    const Linear linear(random(in * out, 1), random(out, 2), in, out, GetParam());
    const auto source = random(padded_rows(kMost) * in, 3);
    std::vector<float> all(padded_rows(kMost) * out);
    linear.run(context, kMost, source.data(), all.data());
    for (const std::size_t rows :
         {1,  2,  3,  4,  5,   8,   12,  13,  16,  20,  24,  28,  32,  33,
          48, 64, 80, 96, 112, 128, 130, 192, 256, 320, 384, 448, 512, 513}) {
      // From the end, so that a row also changes its place in the tiles.
      const std::vector<float> last(
          source.begin() + static_cast<std::ptrdiff_t>((kMost - rows) * in), source.end());
      std::vector<float> padded(last.begin(), last.end());
      padded.resize(padded_rows(rows) * in);
      std::vector<float> target(padded_rows(rows) * out);
      linear.run(context, rows, padded.data(), target.data());
      ASSERT_EQ(0, std::memcmp(target.data(), all.data() + (kMost - rows) * out,
                               rows * out * sizeof(float)))
          << in << "x" << out << " with " << rows << " rows";
    }
  }
}

TEST_P(EveryBackend, NeedsNoBias) {
  LinearContext context;
  const std::vector<float> weights{1, 2, 3, 4};
  const Linear linear(weights, {}, 2, 2, GetParam());
  const std::vector<float> source{10, 1};
  std::vector<float> target(2);
  linear.run(context, 1, source.data(), target.data());
  EXPECT_EQ(target, (std::vector<float>{12, 34}));
}

TEST_P(EveryBackend, MayRunInSeveralThreads) {
  const std::size_t in = 64;
  const std::size_t out = 96;
  const std::size_t rows = 32;
  const Linear linear(random(in * out, 1), random(out, 2), in, out, GetParam());
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

INSTANTIATE_TEST_SUITE_P(Linear, EveryBackend,
                         testing::Values(LinearBackend::kBuiltIn, LinearBackend::kOneDnn),
                         [](const auto& instance) {
                           return instance.param == LinearBackend::kBuiltIn ? "BuiltIn" : "OneDnn";
                         });

TEST(OneDnnBackend, IsReplacedWhereItsKernelsAreNotRowIndependent) {
  const std::vector<float> weights(32 * 32, 0.5F);
  const Linear linear(weights, {}, 32, 32, LinearBackend::kOneDnn);
  const bool has_avx512 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  EXPECT_EQ(linear.backend(), has_avx512 ? LinearBackend::kOneDnn : LinearBackend::kBuiltIn);
}

}  // namespace
}  // namespace nearlite
