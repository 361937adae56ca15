#include "kernels.h"

#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "nearlite/base/cpu.h"
#include "testing/kernel_sets.h"

namespace nearlite {
namespace {

std::vector<float> random_floats(std::size_t count, float deviation, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// Every instruction set that this processor has, judged by plain double precision.
class EveryInstructionSet : public ::testing::TestWithParam<const Kernels*> {
 protected:
  void SetUp() override {
    if (!testing::can_run(*GetParam())) GTEST_SKIP() << "not on this processor";
  }
  const Kernels& kernels() const { return *GetParam(); }
};

TEST_P(EveryInstructionSet, GeluAgreesWithTheErrorFunction) {
  std::vector<float> values;
  for (int i = -120'000; i <= 120'003; ++i) values.push_back(static_cast<float>(i) * 1e-4F);
  values.insert(values.end(), {-1e4F, -100.0F, 100.0F, 1e4F, 0.0F, -0.0F});
  const std::vector<float> before = values;
  kernels().gelu_erf(values.data(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = before[i];
    const double expected = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    ASSERT_NEAR(values[i], expected, 5e-8 + 1.2e-7 * std::abs(expected) + 1e-9 * std::abs(x)) << x;
  }
}

TEST_P(EveryInstructionSet, ShortGeluStaysWithinItsError) {
  std::vector<float> values;
  for (int i = -12'000; i <= 12'003; ++i) values.push_back(static_cast<float>(i) * 1e-3F);
  const std::vector<float> before = values;
  kernels().gelu_erf_short(values.data(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = before[i];
    ASSERT_NEAR(values[i], 0.5 * x * std::erfc(-x / std::sqrt(2.0)), 6e-5) << x;
  }
}

TEST_P(EveryInstructionSet, TanhGeluAgreesWithItsDefinition) {
  std::vector<float> values;
  for (int i = -9'000; i <= 9'005; ++i) values.push_back(static_cast<float>(i) * 1e-3F);
  const std::vector<float> before = values;
  kernels().gelu_tanh(values.data(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = before[i];
    const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    const double expected = 0.5 * x * (1 + std::tanh(u));
    ASSERT_NEAR(values[i], expected, 1e-6) << x;
  }
}

TEST_P(EveryInstructionSet, ReluKeepsWhatIsPositive) {
  std::vector<float> values = random_floats(37, 1.0F);
  const std::vector<float> before = values;
  kernels().relu(values.data(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i], before[i] > 0 ? before[i] : 0.0F);
  }
}

TEST_P(EveryInstructionSet, RoundsToTheNearestBfloat16) {
  // 1 + 2^-8 lies between 1 and 1 + 2^-7: the even one is 1. A little more goes up.
  const std::vector<float> source{1.0F,        1.00390625F, 1.0039064F, 1.01171875F, -1.01171875F,
                                  3.14159274F, 0.0F,        -0.0F,      1e-30F,      65504.0F};
  const std::vector<float> expected{1.0F,      1.0F, 1.0078125F, 1.015625F,      -1.015625F,
                                    3.140625F, 0.0F, -0.0F,      9.9840208e-31F, 65536.0F};
  std::vector<float> target(12, NAN);
  kernels().round_to_bfloat16(source.data(), 1, source.size(), target.data(), target.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    EXPECT_NEAR(target[i], expected[i], 1e-5F * std::abs(expected[i])) << source[i];
    EXPECT_EQ(std::signbit(target[i]), std::signbit(source[i]));
  }
  EXPECT_EQ(target[10], 0.0F);
  EXPECT_EQ(target[11], 0.0F);
}

TEST_P(EveryInstructionSet, QuantizesRowsToTheirLimits) {
  for (const std::size_t in : {1, 7, 16, 50, 384}) {
    const std::size_t rows = 3;
    const std::size_t stride = (in + 3) / 4 * 4;
    std::vector<float> source = random_floats(rows * in, 5.0F);
    std::fill_n(source.begin() + static_cast<std::ptrdiff_t>(in), in, 0.0F);  // a row of zeros
    std::vector<std::int16_t> words(rows * stride, 77);
    std::vector<float> scales(rows);
    kernels().quantize_words(source.data(), rows, in, 32'767.0F, 46'000.0F,
                             {words.data(), scales.data(), stride});
    for (std::size_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (std::size_t i = 0; i < in; ++i) {
        const int word = words[r * stride + i];
        EXPECT_NEAR(static_cast<float>(word) * scales[r], source[r * in + i], 0.501F * scales[r]);
        squares += static_cast<double>(word) * word;
      }
      EXPECT_LE(std::sqrt(squares), 46'000 + 0.5 * std::sqrt(static_cast<double>(in)) + 1);
      for (std::size_t i = in; i < stride; ++i) EXPECT_EQ(words[r * stride + i], 0);
    }
  }
}

TEST_P(EveryInstructionSet, QuantizesWeightsSoThatPairsStaySmallAndOutliersStandAside) {
  for (const std::size_t in : {1, 7, 16, 50, 384}) {
    const std::size_t rows = 4;
    const std::size_t stride = (in + 3) / 4 * 4;
    std::vector<float> source = random_floats(rows * in, 5.0F);
    std::fill_n(source.begin() + static_cast<std::ptrdiff_t>(in), in, 0.0F);  // a column of zeros
    std::fill_n(source.begin() + static_cast<std::ptrdiff_t>(2 * in), in, -2.0F);
    source[3 * in + in / 2] = -300.0F;
    std::vector<std::uint8_t> bytes(rows * stride, 77);
    std::vector<std::int16_t> words(rows * stride, 77);
    std::vector<float> scales(rows);
    std::vector<Outliers> outliers(rows);
    kernels().quantize_weight_words(
        source.data(), rows, in, {words.data(), scales.data(), stride, nullptr, outliers.data()});
    kernels().quantize_weight_bytes(
        source.data(), rows, in, {bytes.data(), scales.data(), stride, nullptr, outliers.data()});
    for (std::size_t r = 0; r < rows; ++r) {
      int largest = 0;
      int largest_pair = 0;
      for (std::size_t i = 0; i < stride; ++i) {
        const int byte = static_cast<std::int8_t>(bytes[r * stride + i]);
        EXPECT_EQ(byte, words[r * stride + i]);
        if (i >= in) {
          EXPECT_EQ(byte, 0);
          continue;
        }
        const float rest = outliers[r].inputs[0] == i ? outliers[r].rests[0] : 0.0F;
        EXPECT_NEAR(static_cast<float>(byte) * scales[r] + rest, source[r * in + i],
                    rest != 0 ? 1e-4F : 0.501F * scales[r]);
        largest = std::max(largest, std::abs(byte));
        if (i % 2 == 1) {
          largest_pair =
              std::max(largest_pair, std::abs(byte) + std::abs(int{words[r * stride + i - 1]}));
        }
      }
      EXPECT_LE(largest, 127);
      EXPECT_LE(largest_pair, 129);
      if (r == 1) {
        EXPECT_EQ(largest, 0);
      }
      if (r == 3) {
        EXPECT_EQ(outliers[r].inputs[0], in / 2);  // does not cost the others theirs
      }
      // As large as the limits allow, but for a weight that is alone.
      if (in > 1 && r != 1) {
        EXPECT_TRUE(largest == 127 || largest_pair >= 127) << largest_pair;
      }
    }
  }
}

TEST_P(EveryInstructionSet, QuantizesRowsByTheirRange) {
  for (const std::size_t in : {1, 7, 16, 50, 384}) {
    for (const float shift : {-40.0F, -3.0F, 0.0F, 3.0F, 40.0F}) {
      for (const float outlier : {0.0F, 1000.0F, -1e9F}) {
        constexpr std::size_t kRows = 2;
        std::vector<float> source = random_floats(kRows * in, 5.0F);
        for (float& value : source) value += shift;
        std::fill_n(source.begin(), in, 0.0F);
        const std::size_t place = in + in / 3;
        if (outlier != 0) source[place] = outlier;
        const std::size_t stride = (in + 3) / 4 * 4;
        std::vector<std::uint8_t> bytes(kRows * stride, 77);
        std::vector<std::int16_t> words(kRows * stride, 77);
        std::vector<float> scales(kRows);
        std::vector<std::int32_t> zeros(kRows);
        std::vector<Outliers> outliers(kRows);
        kernels().quantize_range_words(
            source.data(), kRows, in,
            {words.data(), scales.data(), stride, zeros.data(), outliers.data()});
        kernels().quantize_range_bytes(
            source.data(), kRows, in,
            {bytes.data(), scales.data(), stride, zeros.data(), outliers.data()});
        for (std::size_t r = 0; r < kRows; ++r) {
          for (std::size_t i = 0; i < in; ++i) {
            const float value = source[r * in + i];
            float found = static_cast<float>(words[r * stride + i]) * scales[r];
            bool has_rest = false;
            for (const int which : {0, 1}) {
              if (outliers[r].inputs[which] != i || outliers[r].rests[which] == 0) continue;
              found += outliers[r].rests[which];
              has_rest = true;
            }
            EXPECT_NEAR(found, value, has_rest ? 1e-6F * std::abs(value) : 0.501F * scales[r]);
            EXPECT_EQ(bytes[r * stride + i] - zeros[r], words[r * stride + i]);
            EXPECT_LE(bytes[r * stride + i], 254);
          }
          for (std::size_t i = in; i < stride; ++i) EXPECT_EQ(words[r * stride + i], 0);
        }
        if (outlier != 0) {
          // The others are as fine as without it.
          EXPECT_NE(outliers[1].rests[outlier > 0 ? 0 : 1], 0.0F);
          EXPECT_LE(254.0F * scales[1], 200.0F);
        }
      }
    }
  }
}

TEST_P(EveryInstructionSet, LayerNormAgreesWithItsDefinitionForEveryWidth) {
  for (const std::size_t dim : {1, 5, 16, 24, 33, 384, 771}) {
    const std::size_t rows = 3;
    std::vector<float> x = random_floats(rows * dim, 3.0F);
    for (float& value : x) value += 1000.0F;  // a large mean: one-pass variance would be noise
    const std::vector<float> before = x;
    const std::vector<float> added = random_floats(rows * dim, 1.0F, 2);
    const std::vector<float> gamma = random_floats(dim, 1.0F, 3);
    const std::vector<float> beta = random_floats(dim, 1.0F, 4);
    kernels().add_layer_norm(x.data(), added.data(), gamma.data(), beta.data(), 1e-12F, rows, dim);
    for (std::size_t row = 0; row < rows; ++row) {
      std::vector<double> sum(dim);
      double mean = 0;
      for (std::size_t i = 0; i < dim; ++i) {
        sum[i] = static_cast<double>(before[row * dim + i] + added[row * dim + i]);
        mean += sum[i] / static_cast<double>(dim);
      }
      double variance = 0;
      for (const double value : sum) {
        variance += (value - mean) * (value - mean) / static_cast<double>(dim);
      }
      for (std::size_t i = 0; i < dim; ++i) {
        const double expected =
            (sum[i] - mean) / std::sqrt(variance + 1e-12) * static_cast<double>(gamma[i]) +
            static_cast<double>(beta[i]);
        // One float differs from itself by nothing: the deviation is exactly zero.
        const double tolerance = dim == 1 ? 0.0 : 2e-3;
        EXPECT_NEAR(x[row * dim + i], expected, tolerance) << dim << " " << i;
      }
    }
  }
}

/// A head of random rows between columns that it must leave alone, run by one of the kernels.
struct AttentionCase {
  AttentionCase(std::size_t num_tokens, std::size_t dim, bool with_bias)
      : tokens(num_tokens),
        head_dim(dim),
        stride(3 * dim + 5),
        qkv(random_floats(num_tokens * stride, 1.0F)),
        bias(with_bias ? random_floats(2 * num_tokens + kBiasPadding, 1.0F, 7)
                       : std::vector<float>()) {
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t d = 0; d < dim; ++d) {
        qkv[t * stride + d] /= std::sqrt(static_cast<float>(dim));
      }
    }
  }

  std::vector<float> run(decltype(Kernels::attention) attention) const {
    std::vector<float> output(tokens * (head_dim + 3), -7.0F);
    std::vector<float> scratch(attention_scratch_floats(tokens, head_dim), NAN);
    attention({.query = qkv.data(),
               .key = qkv.data() + head_dim,
               .value = qkv.data() + 2 * head_dim,
               .output = output.data(),
               .scratch = scratch.data(),
               .num_tokens = tokens,
               .head_dim = head_dim,
               .qkv_stride = stride,
               .output_stride = head_dim + 3,
               .bias = bias.empty() ? nullptr : bias.data() + tokens - 1});
    return output;
  }

  double expected(std::size_t t, std::size_t d) const {
    double sum = 0;
    double mixed = 0;
    for (std::size_t s = 0; s < tokens; ++s) {
      double score = bias.empty() ? 0.0 : bias[tokens - 1 + s - t];
      for (std::size_t i = 0; i < head_dim; ++i) {
        score += static_cast<double>(qkv[t * stride + i]) *
                 static_cast<double>(qkv[s * stride + head_dim + i]);
      }
      sum += std::exp(score);
      mixed += std::exp(score) * static_cast<double>(qkv[s * stride + 2 * head_dim + d]);
    }
    return mixed / sum;
  }

  void expect(const std::vector<float>& output, double tolerance) const {
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t d = 0; d < head_dim + 3; ++d) {
        const float value = output[t * (head_dim + 3) + d];
        if (d >= head_dim) {
          ASSERT_EQ(value, -7.0F) << "wrote behind the head";
        } else if (t % 7 == 0 || t + 1 == tokens) {
          ASSERT_NEAR(value, expected(t, d), tolerance)
              << head_dim << " " << tokens << " " << t << " " << d;
        }
      }
    }
  }

  std::size_t tokens;
  std::size_t head_dim;
  std::size_t stride;
  std::vector<float> qkv;
  std::vector<float> bias;
};

TEST_P(EveryInstructionSet, AttentionAgreesWithItsDefinitionForEveryLength) {
  for (const std::size_t head_dim : {8, 20, 32, 64}) {
    for (const std::size_t tokens : {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 130}) {
      const AttentionCase plain(tokens, head_dim, false);
      plain.expect(plain.run(kernels().attention), 1e-5);
      plain.expect(plain.run(kernels().attention_words), 2e-3);
      const AttentionCase biased(tokens, head_dim, true);
      biased.expect(biased.run(kernels().attention), 1e-5);
      biased.expect(biased.run(kernels().attention_words), 2e-3);
    }
  }
}

TEST_P(EveryInstructionSet, AttentionInWordsNeverOverflows) {
  // All products at their limit and of one sign, and all weights equal: the largest sums there are.
  for (const std::size_t tokens : {1, 40, 512, 4096}) {
    const std::size_t dim = 64;
    const std::vector<float> ones(tokens * dim, 3.0F);
    std::vector<float> output(tokens * dim);
    std::vector<float> scratch(attention_scratch_floats(tokens, dim));
    kernels().attention_words({.query = ones.data(),
                               .key = ones.data(),
                               .value = ones.data(),
                               .output = output.data(),
                               .scratch = scratch.data(),
                               .num_tokens = tokens,
                               .head_dim = dim,
                               .qkv_stride = dim,
                               .output_stride = dim});
    for (std::size_t i = 0; i < output.size(); i += 61)
      ASSERT_NEAR(output[i], 3.0F, 1e-3) << tokens;
  }
}

TEST_P(EveryInstructionSet, AttentionStandsScoresThatWouldOverflow) {
  const std::size_t tokens = 5;
  const std::size_t dim = 4;
  std::vector<float> query(tokens * dim, 100.0F);
  std::vector<float> key(tokens * dim, 0.0F);
  for (std::size_t d = 0; d < dim; ++d) key[3 * dim + d] = 100.0F;  // score 40000 for token 3
  const std::vector<float> value = random_floats(tokens * dim, 1.0F);
  std::vector<float> output(tokens * dim);
  std::vector<float> scratch(attention_scratch_floats(tokens, dim));
  for (const auto attention : {kernels().attention, kernels().attention_words}) {
    attention({.query = query.data(),
               .key = key.data(),
               .value = value.data(),
               .output = output.data(),
               .scratch = scratch.data(),
               .num_tokens = tokens,
               .head_dim = dim,
               .qkv_stride = dim,
               .output_stride = dim});
    for (std::size_t i = 0; i < output.size(); ++i) {
      EXPECT_NEAR(output[i], value[3 * dim + i % dim],
                  attention == kernels().attention ? 1e-6 : 3e-4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, EveryInstructionSet, ::testing::ValuesIn(testing::kKernelSets),
                         [](const auto& instance) { return std::string(instance.param->name); });

TEST(FlushDenormalsTest, FlushesWhileItLivesAndRestores) {
  volatile float tiny = 1e-38F;
  const unsigned before = _mm_getcsr();
  {
    const FlushDenormals flush;
    EXPECT_EQ(tiny * 0.01F, 0.0F);
  }
  EXPECT_NE(tiny * 0.01F, 0.0F);
  EXPECT_EQ(_mm_getcsr() & 0x8040U, before & 0x8040U);
}

}  // namespace
}  // namespace nearlite
