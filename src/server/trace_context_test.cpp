#include "trace_context.h"

#include <gtest/gtest.h>

namespace nearlite::server {
namespace {

constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, IsTakenInTheStandardsForm) {
  EXPECT_EQ(trace_id_of(kParent), "4bf92f3577b34da6a3ce929d0e0e4736");
  // A later version may say more.
  EXPECT_TRUE(trace_id_of("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
}

TEST(TraceContext, IsIgnoredInAnyOther) {
  for (const char* wrong : {"", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
                            "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01"})
    EXPECT_FALSE(trace_id_of(wrong)) << wrong;
}

TEST(TraceContext, IsBegunWhereThereIsNone) {
  const std::string parent = kParent;
  const TraceContext followed = trace_context_of(&parent);
  EXPECT_EQ(followed.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(followed.span_id.size(), 16U);
  const TraceContext one = trace_context_of(nullptr);
  const TraceContext other = trace_context_of(nullptr);
  EXPECT_EQ(one.trace_id.size(), 32U);
  EXPECT_NE(one.trace_id, other.trace_id);
  EXPECT_NE(one.span_id, other.span_id);
}

}  // namespace
}  // namespace nearlite::server
