// A request for memory that fails, once or from then on, at any place of a task.
#include <cstdio>
#include <fstream>
#include <string>

#include "scenario.h"

namespace nearlite::fault_test {
namespace {

constexpr std::size_t kWhole = 6000;  // runs, of all tasks together

std::size_t count_requests(const Settings& settings, const Template& start, const std::string& task,
                           const std::string& self) {
  const auto folder = settings.folder / "memory";
  start.copy_to(folder, task);
  const auto counted = settings.folder / "requests";
  run({self, "--worker", folder.string(), task},
      {{"LD_PRELOAD", settings.memory_layer.string()},
       {"NEARLITE_TEST_MEMORY_COUNT", counted.string()}});
  std::size_t requests = 0;
  std::ifstream(counted) >> requests;
  return requests;
}

}  // namespace

Verdict test_memory(const Settings& settings, const Template& start) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  struct Place {
    std::string_view task;
    std::size_t request;
  };
  std::vector<Place> places;
  for (const std::string_view task : kTasks) {
    const std::size_t requests = count_requests(settings, start, std::string(task), self);
    std::printf("%s asks for memory %zu times\n", std::string(task).c_str(), requests);
    if (requests == 0) return {};
    for (std::size_t request = 1; request <= requests; ++request) places.push_back({task, request});
  }
  const auto made = [&](std::size_t number) {
    const Place& place = places[number / 2];
    const std::string request = std::to_string(place.request);
    Disturbance one{.task = std::string(place.task),
                    .environment = {{"LD_PRELOAD", settings.memory_layer.string()},
                                    {"NEARLITE_TEST_MEMORY_AT", request}},
                    .place = "no memory at request " + request};
    if (number % 2 == 1) {
      one.environment.emplace("NEARLITE_TEST_MEMORY_FOREVER", "1");
      one.place += " and later";
    }
    return one;
  };
  return run_disturbed(settings, start, 2 * places.size(),
                       settings.runs > 0 ? settings.runs : kWhole, made);
}

}  // namespace nearlite::fault_test
