#include "kernel_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/kernel_sets.h"

namespace nearlite {
namespace {

using ::testing::IsEmpty;

void forgets_to_multiply(const PackedGemm& weights, std::size_t rows,
                         const QuantizedRows<std::int16_t>&, float* target) noexcept {
  for (std::size_t i = 0; i < rows * weights.out; ++i) target[i] = 0.0F;
}

void attends_to_the_first(const AttentionHead& head) noexcept {
  for (std::size_t t = 0; t < head.num_tokens; ++t) {
    for (std::size_t d = 0; d < head.head_dim; ++d) {
      head.output[t * head.output_stride + d] = head.value[d];
    }
  }
}

TEST(KernelCheck, AllThatThisProcessorHasAgree) {
  for (const Kernels* kernels : testing::kKernelSets) {
    if (testing::can_run(*kernels)) {
      EXPECT_TRUE(agrees(*kernels, kBaselineKernels)) << kernels->name;
    }
  }
}

TEST(KernelCheck, TakesTheBestThatAgreesAndNamesTheOthers) {
  Kernels bad_product = kBaselineKernels;
  bad_product.name = "bad product";
  bad_product.gemm_words = &forgets_to_multiply;
  Kernels bad_attention = kBaselineKernels;
  bad_attention.name = "bad attention";
  bad_attention.attention_words = &attends_to_the_first;
  Kernels good = kBaselineKernels;
  good.name = "good";
  const Kernels* candidates[] = {&bad_product, &bad_attention, &good, &kBaselineKernels};
  const KernelChoice choice = first_sound(candidates);
  EXPECT_EQ(choice.kernels, &good);
  EXPECT_EQ(choice.warning,
            "this processor computes wrongly with bad product, bad attention; good is used");
}

TEST(KernelCheck, SaysNothingWhereTheBestAgrees) {
  const Kernels* candidates[] = {&kBaselineKernels};
  EXPECT_THAT(first_sound(candidates).warning, IsEmpty());
}

}  // namespace
}  // namespace nearlite
