// A disk that is full after any number of bytes, and has room again at the next run.
#include <cstdint>
#include <iterator>
#include <string>

#include "scenario.h"

namespace nearlite::fault_test {
namespace {

constexpr std::size_t kStep = 4096;
constexpr std::size_t kMostBytes = std::size_t{1} << 20;  // more than any task writes
constexpr std::size_t kSizes = kMostBytes / kStep + 1;

}  // namespace

Verdict test_full(const Settings& settings, const Template& start) {
  const auto made = [&](std::size_t number) {
    const std::string space = std::to_string(number % kSizes * kStep);
    return Disturbance{
        .task = std::string(kTasks[number / kSizes]),
        .environment = {{"LD_PRELOAD", settings.disk_layer.string()},
                        {"NEARLITE_TEST_DISK_FOLDER", (settings.folder / "disturbed").string()},
                        {"NEARLITE_TEST_DISK_SPACE", space}},
        .place = space + " bytes of room"};
  };
  return run_disturbed(settings, start, std::size(kTasks) * kSizes,
                       settings.runs > 0 ? settings.runs : SIZE_MAX, made);
}

}  // namespace nearlite::fault_test
