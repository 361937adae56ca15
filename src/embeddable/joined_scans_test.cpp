// Callers that meet share a scan: each gets its own answer, and its own error.
#include "joined_scans.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "nearlite/base/error.h"
#include "nearlite/index/id_set.h"

namespace nearlite {
namespace {

constexpr std::size_t kDim = 32;

IndexSnapshot random_snapshot(std::size_t rows) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  auto delta = std::make_shared<DeltaIndex>(kDim);
  std::vector<float> vector(kDim);
  for (std::size_t i = 0; i < rows; ++i) {
    for (float& value : vector) value = normal(random);
    delta->add(VectorId{static_cast<std::int64_t>(i)}, vector);
  }
  return IndexSnapshot(kDim, {}, DeltaView(std::move(delta)));
}

TEST(JoinedScans, EachCallerGetsTheAnswerOfItsOwnQuestion) {
  const IndexSnapshot one = random_snapshot(3000);
  const IndexSnapshot other = random_snapshot(500);
  JoinedScans scans;
  std::atomic<int> num_wrong = 0;
  std::atomic<int> num_refused = 0;
  std::vector<std::thread> callers;
  for (unsigned caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&, caller] {
      std::mt19937 random(caller);
      std::normal_distribution<float> normal;
      std::vector<float> query(kDim);
      for (int i = 0; i < 60; ++i) {
        for (float& value : query) value = normal(random);
        SearchParams params{.k = 1 + random() % 3 * 20, .recall = i % 2 == 0 ? 0.99 : 1.0};
        if (i % 5 == 0)
          params.among = std::make_shared<const IdSet>(std::vector{VectorId{3}, VectorId{77}});
        const IndexSnapshot& snapshot = random() % 4 == 0 ? other : one;
        if (caller == 0 && i % 3 == 0) {
          query[7] = std::numeric_limits<float>::quiet_NaN();
          try {
            scans.search(snapshot, query, params);
          } catch (const InvalidArgument&) {
            ++num_refused;
          }
          continue;
        }
        const SearchResult found = scans.search(snapshot, query, params);
        const SearchResult truth = snapshot.search(query, params);
        if (found.neighbors != truth.neighbors || found.path != truth.path) ++num_wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(num_wrong, 0);
  EXPECT_EQ(num_refused, 20);
}

}  // namespace
}  // namespace nearlite
