#include "nearlite/base/byte_windows.h"

#include <gmock/gmock.h>

#include <string>

namespace nearlite {
namespace {

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::vector<std::uint64_t> places(const std::string& hidden, const std::string& text,
                                  std::size_t part = 7) {
  const auto windows = windows_of(bytes(hidden), 42);
  WindowSearch search(windows, 42);
  std::vector<std::uint64_t> found;
  for (std::size_t at = 0; at < text.size(); at += part) {
    search.feed(bytes(text).subspan(at, std::min(part, text.size() - at)),
                [&](const ByteWindow&, std::uint64_t place) { found.push_back(place); });
  }
  return found;
}

TEST(ByteWindows, FindWhatIsThereAcrossParts) {
  const std::string hidden = "the quick brown fox jumps over the lazy dog";
  EXPECT_THAT(places(hidden, "nothing of it is in this text at all, is it"), testing::IsEmpty());
  EXPECT_THAT(places(hidden, std::string(100, 'x') + hidden + "y"),
              testing::ElementsAre(100, 100 + hidden.size() - kWindowBytes));
}

TEST(ByteWindows, FindEveryPieceThatIsLongEnough) {
  std::string hidden;
  for (int i = 0; i < 300; ++i) hidden += static_cast<char>(i * 37 % 251);
  for (std::size_t at = 0; at + 2 * kWindowBytes - 1 <= hidden.size(); ++at) {
    EXPECT_FALSE(places(hidden, "abc" + hidden.substr(at, 2 * kWindowBytes - 1)).empty()) << at;
  }
}

TEST(ByteWindows, ShortOnesAreFoundWholeAndTheShortestNotLookedFor) {
  EXPECT_THAT(places("hunter2xyz", "my hunter2xyz"), testing::ElementsAre(3));
  EXPECT_THAT(places("hunter2xyz", "my hunter2xy"), testing::IsEmpty());
  EXPECT_TRUE(windows_of(bytes("short"), 1).empty());
}

TEST(ByteWindows, ZerosAndOtherKeysDiffer) {
  EXPECT_NE(windows_of(bytes(std::string(8, '\0')), 1)[0],
            windows_of(bytes(std::string(9, '\0')), 1)[0]);
  EXPECT_NE(windows_of(bytes("some secret"), 1)[0].hash,
            windows_of(bytes("some secret"), 2)[0].hash);
}

TEST(ByteWindows, AnotherStreamBeginsAnew) {
  const std::string hidden = "0123456789abcdef";
  WindowSearch search(windows_of(bytes(hidden), 5), 5);
  std::size_t found = 0;
  const auto count = [&](const ByteWindow&, std::uint64_t) { ++found; };
  search.feed(bytes(hidden.substr(0, 8)), count);
  search.restart();
  search.feed(bytes(hidden.substr(8)), count);
  EXPECT_EQ(found, 0U);
  search.restart();
  search.feed(bytes(hidden), count);
  EXPECT_EQ(found, 1U);
}

}  // namespace
}  // namespace nearlite
