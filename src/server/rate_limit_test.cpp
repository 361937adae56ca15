#include "rate_limit.h"

#include <gtest/gtest.h>

namespace nearlite::server {
namespace {

using namespace std::chrono_literals;

TEST(RateLimit, LetsASteadyCallerHaveItsRate) {
  RateLimit limit(50, 10);
  RateLimit::Time now{1000h};
  int answered = 0;
  for (int i = 0; i < 100'000; ++i) {  // 1,000 requests per second for 100 s
    answered += limit.take("a", now) == 0 ? 1 : 0;
    now += 1ms;
  }
  EXPECT_NEAR(answered, 50 * 100 + 10, 5);
}

TEST(RateLimit, TellsWhenThereIsRoomAgain) {
  RateLimit limit(2, 1);
  const RateLimit::Time now{1000h};
  EXPECT_EQ(limit.take("a", now), 0);
  EXPECT_DOUBLE_EQ(limit.take("a", now), 0.5);
  EXPECT_EQ(limit.take("b", now), 0) << "each caller has a bucket of its own";
  EXPECT_EQ(limit.take("a", now + 500ms), 0);
  EXPECT_GT(limit.take("a", now + 400ms), 0) << "a clock that steps back gives nothing";
}

TEST(RateLimit, RemembersABoundedNumberOfCallers) {
  RateLimit limit(1, 1, 1000);
  const RateLimit::Time now{1000h};
  EXPECT_EQ(limit.take("busy", now), 0);
  for (int i = 0; i < 100'000; ++i) {
    limit.take(std::to_string(i), now);
    if (i % 100 == 0) {
      EXPECT_GT(limit.take("busy", now), 0) << "whoever asks is not forgotten";
    }
  }
  EXPECT_EQ(limit.num_callers(), 1000U);
}

}  // namespace
}  // namespace nearlite::server
