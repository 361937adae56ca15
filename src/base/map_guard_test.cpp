#include "nearlite/base/map_guard.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

constexpr std::size_t kBytes = 40 * 4096 + 100;

class GuardedMap : public testing::Test {
 protected:
  GuardedMap() { std::ofstream(file_, std::ios::binary) << std::string(kBytes, 'x'); }
  static std::size_t count_x(std::span<const std::byte> bytes) {
    return static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), std::byte{'x'}));
  }
  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "map";
};

TEST_F(GuardedMap, ReadsZerosWhereTheFileWasCut) {
  const MappedFile mapped(file_);
  const MapGuard guard(mapped.bytes().data(), mapped.bytes().size());
  EXPECT_EQ(count_x(mapped.bytes()), kBytes);
  EXPECT_FALSE(guard.was_cut());
  std::filesystem::resize_file(file_, 4096);
  EXPECT_EQ(count_x(mapped.bytes()), 4096U);
  EXPECT_TRUE(guard.was_cut());
  EXPECT_FALSE(mapped.is_unchanged());
}

TEST_F(GuardedMap, SaysSoOfTheMapThatWasCutOnly) {
  const std::filesystem::path other = folder_ / "other";
  std::filesystem::copy_file(file_, other);
  const MappedFile first(file_);
  const MappedFile second(other);
  MapGuard moved;
  {
    MapGuard guard(first.bytes().data(), first.bytes().size());
    moved = std::move(guard);
  }
  const MapGuard second_guard(second.bytes().data(), second.bytes().size());
  std::filesystem::resize_file(file_, 0);
  EXPECT_EQ(count_x(first.bytes()), 0U);
  EXPECT_EQ(count_x(second.bytes()), kBytes);
  EXPECT_TRUE(moved.was_cut());
  EXPECT_FALSE(second_guard.was_cut());
}

TEST_F(GuardedMap, ServesManyThreadsAndManyMaps) {
  std::vector<MappedFile> maps;
  std::vector<MapGuard> guards;
  for (int i = 0; i < 200; ++i) {
    maps.emplace_back(file_);
    guards.emplace_back(maps.back().bytes().data(), maps.back().bytes().size());
  }
  std::filesystem::resize_file(file_, 8192);
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (const MappedFile& mapped : maps) EXPECT_EQ(count_x(mapped.bytes()), 8192U);
    });
  }
  threads.clear();
  for (const MapGuard& guard : guards) EXPECT_TRUE(guard.was_cut());
}

using GuardedMapDeathTest = GuardedMap;

TEST_F(GuardedMapDeathTest, LeavesOtherFaultsToTheHost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto cut_unguarded_map = [&] {
    const MappedFile unguarded(file_);
    std::filesystem::resize_file(file_, 0);
    _exit(static_cast<int>(count_x(unguarded.bytes())));
  };
  const auto with_host_handler = [&] {
    struct sigaction host {};
    host.sa_handler = [](int) { _exit(77); };
    ::sigaction(SIGBUS, &host, nullptr);
    const MappedFile mapped(file_);
    const MapGuard guard(mapped.bytes().data(), mapped.bytes().size());
    cut_unguarded_map();
  };
  const auto without = [&] {
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    ::sigaction(SIGBUS, &usual, nullptr);
    const MappedFile mapped(file_);
    const MapGuard guard(mapped.bytes().data(), mapped.bytes().size());
    cut_unguarded_map();
  };
  EXPECT_EXIT(with_host_handler(), testing::ExitedWithCode(77), "");
  EXPECT_EXIT(without(), testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace nearlite
