#include "nearlite/base/memory_budget.h"

#include <gtest/gtest.h>

#include <thread>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

/// A cache that can be emptied, unless somebody uses it.
struct Cache {
  explicit Cache(const std::shared_ptr<MemoryBudget>& budget)
      : share(budget, "test", [this] {
          const std::unique_lock lock(mutex, std::try_to_lock);
          if (!lock) return false;
          held = 0;
          return true;
        }) {}
  bool keep(std::uint64_t bytes) {
    const std::lock_guard lock(mutex);
    if (!share.resize(bytes)) return false;
    held = bytes;
    return true;
  }
  std::mutex mutex;
  std::uint64_t held = 0;
  MemoryBudget::Share share;
};

TEST(MemoryBudget, TheLongestUnusedGivesItsPlace) {
  const auto budget = std::make_shared<MemoryBudget>(100);
  Cache a(budget);
  Cache b(budget);
  Cache c(budget);
  EXPECT_TRUE(a.keep(40));
  EXPECT_TRUE(b.keep(40));
  a.share.touch();
  EXPECT_TRUE(c.keep(50));
  EXPECT_EQ(a.held, 40U);
  EXPECT_EQ(b.held, 0U);
  EXPECT_EQ(b.share.bytes(), 0U);
  EXPECT_EQ(budget->used_bytes(), 90U);
  EXPECT_EQ(budget->used_by_kind().at("test"), 90U);
}

TEST(MemoryBudget, WhatNeverFitsTakesNobodysPlace) {
  const auto budget = std::make_shared<MemoryBudget>(100);
  Cache a(budget);
  MemoryBudget::Share lasting(budget, "lasting");
  EXPECT_TRUE(a.keep(40));
  lasting.hold(30);
  Cache b(budget);
  EXPECT_FALSE(b.keep(71));
  EXPECT_EQ(a.held, 40U);
  EXPECT_TRUE(b.keep(70));
  EXPECT_EQ(a.held, 0U);
  EXPECT_FALSE(b.keep(80));
  EXPECT_EQ(b.held, 70U);
}

TEST(MemoryBudget, WhatIsInUseIsLeftAndTheOtherDoesWithout) {
  const auto budget = std::make_shared<MemoryBudget>(100);
  Cache a(budget);
  Cache b(budget);
  EXPECT_TRUE(a.keep(60));
  const std::lock_guard in_use(a.mutex);
  EXPECT_FALSE(b.keep(60));
  EXPECT_EQ(a.held, 60U);
  EXPECT_TRUE(b.keep(40));
}

TEST(MemoryBudget, WhatCannotBeDoneWithoutIsHeldAndCounted) {
  const auto budget = std::make_shared<MemoryBudget>(100);
  Cache a(budget);
  EXPECT_TRUE(a.keep(60));
  MemoryBudget::Share lasting(budget, "lasting");
  lasting.hold(150);
  EXPECT_EQ(a.held, 0U);
  EXPECT_EQ(budget->used_bytes(), 150U);
  EXPECT_FALSE(a.keep(1));
  lasting.hold(20);
  EXPECT_TRUE(a.keep(80));
}

TEST(MemoryBudget, ACacheThatGoesLeavesItsBytes) {
  const auto budget = std::make_shared<MemoryBudget>(100);
  {
    Cache a(budget);
    EXPECT_TRUE(a.keep(100));
  }
  EXPECT_EQ(budget->used_bytes(), 0U);
  EXPECT_EQ(budget->used_by_kind().at("test"), 0U);
}

TEST(MemoryBudget, ALowerLimitHoldsFromTheNextGrowthOn) {
  const auto budget = std::make_shared<MemoryBudget>(100);
  Cache a(budget);
  EXPECT_TRUE(a.keep(80));
  budget->set_limit(50);
  Cache b(budget);
  EXPECT_TRUE(b.keep(10));
  EXPECT_EQ(a.held, 0U);
  EXPECT_FALSE(b.keep(51));
}

TEST(MemoryBudget, NoBudgetHasNoLimit) {
  Cache a(nullptr);
  EXPECT_TRUE(a.keep(std::uint64_t{1} << 60));
  EXPECT_EQ(a.share.bytes(), std::uint64_t{1} << 60);
}

TEST(MemoryBudget, ManyThreadsStayWithinIt) {
  const auto budget = std::make_shared<MemoryBudget>(1000);
  std::atomic<bool> exceeded = false;
  std::vector<std::jthread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&budget, &exceeded, t] {
      Cache cache(budget);
      for (std::uint64_t i = 0; i < 2000; ++i) {
        cache.keep((i * 37 + t * 101) % 600);
        if (budget->used_bytes() > 1000) exceeded = true;
      }
    });
  }
  threads.clear();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(budget->used_bytes(), 0U);
}

TEST(MemoryBudget, IsReadFromText) {
  EXPECT_EQ(MemoryBudget::parse_limit("2097152"), 2'097'152U);
  EXPECT_EQ(MemoryBudget::parse_limit("512M"), std::uint64_t{512} << 20);
  EXPECT_EQ(MemoryBudget::parse_limit("1.5 GiB"), std::uint64_t{1536} << 20);
  EXPECT_EQ(MemoryBudget::parse_limit("2gb"), std::uint64_t{2} << 30);
  for (const char* wrong : {"", "0", "-5G", "12", "1X", "1GiBs", "G", "nan", "inf", "1e400",
                            "99999999999999999999T", "0x100000G"}) {
    EXPECT_THROW(MemoryBudget::parse_limit(wrong), InvalidArgument) << wrong;
  }
  EXPECT_GE(MemoryBudget::default_limit(), std::uint64_t{1} << 20);
}

}  // namespace
}  // namespace nearlite
