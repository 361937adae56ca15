#include "worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace nearlite {
namespace {

TEST(WorkerPoolTest, GivesEveryItemOutOnce) {
  WorkerPool pool(4);
  for (std::size_t items : {0, 1, 2, 3, 100}) {
    std::vector<std::atomic<int>> taken(items);
    pool.run(items, [&](const WorkerPool::Next& next) {
      for (std::size_t i = next(); i < items; i = next()) ++taken[i];
    });
    for (const auto& count : taken) EXPECT_EQ(count, 1);
  }
}

TEST(WorkerPoolTest, WorksInTheCallingThreadAloneIfItIsTheOnlyOne) {
  WorkerPool pool(1);
  std::set<std::thread::id> threads;
  pool.run(10, [&](const WorkerPool::Next& next) {
    while (next() < 10) threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads, std::set{std::this_thread::get_id()});
}

TEST(WorkerPoolTest, HelpersReallyHelp) {
  WorkerPool pool(3);
  std::latch all_three(3);  // passes only if three threads work at the same time
  std::atomic<int> threads = 0;
  pool.run(3, [&](const WorkerPool::Next& next) {
    if (next() < 3) {
      ++threads;
      all_three.arrive_and_wait();
    }
  });
  EXPECT_EQ(threads, 3);
}

TEST(WorkerPoolTest, PassesTheFirstErrorOnAndGivesOutNoMoreItems) {
  WorkerPool pool(2);
  std::atomic<std::size_t> done = 0;
  EXPECT_THROW(pool.run(100'000,
                        [&](const WorkerPool::Next& next) {
                          for (std::size_t i = next(); i < 100'000; i = next()) {
                            ++done;
                            throw std::runtime_error("no");
                          }
                        }),
               std::runtime_error);
  EXPECT_LE(done, 2U);
  pool.run(1,
           [&](const WorkerPool::Next& next) { EXPECT_EQ(next(), 0U); });  // and is as good as new
}

TEST(WorkerPoolTest, ServesSeveralCallers) {
  WorkerPool pool(3);
  std::vector<std::thread> callers;
  std::atomic<std::size_t> sum = 0;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        pool.run(20, [&](const WorkerPool::Next& next) {
          for (std::size_t i = next(); i < 20; i = next()) sum += i;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4U * 50U * 190U);
}

}  // namespace
}  // namespace nearlite
