// A request for memory that fails, once or from then on, at any place of a task.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>
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
  struct Case {
    std::string task;
    std::size_t at;
    bool for_ever;
  };
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  std::vector<Case> cases;
  for (const std::string_view task : kTasks) {
    const std::size_t requests = count_requests(settings, start, std::string(task), self);
    std::printf("%s asks for memory %zu times\n", std::string(task).c_str(), requests);
    if (requests == 0) return {};
    for (std::size_t at = 1; at <= requests; ++at) {
      for (const bool for_ever : {false, true}) cases.push_back({std::string(task), at, for_ever});
    }
  }
  std::mt19937_64 random(settings.seed);
  std::shuffle(cases.begin(), cases.end(), random);
  const std::size_t runs = settings.runs > 0 ? settings.runs : kWhole;
  if (cases.size() > runs) cases.resize(runs);
  const auto folder = settings.folder / "memory";
  Verdict verdict;
  std::size_t num_refused = 0;
  for (const auto& [task, at, for_ever] : cases) {
    start.copy_to(folder, task);
    std::map<std::string, std::string> environment{{"LD_PRELOAD", settings.memory_layer.string()},
                                                   {"NEARLITE_TEST_MEMORY_AT", std::to_string(at)}};
    if (for_ever) environment.emplace("NEARLITE_TEST_MEMORY_FOREVER", "1");
    const Outcome outcome = run({self, "--worker", folder.string(), task}, environment);
    ++verdict.runs;
    std::size_t failures = judge(folder, start.checker(), outcome.printed);
    if (outcome.exit_code == 4) ++num_refused;
    if (outcome.signal != 0 || (outcome.exit_code != 0 && outcome.exit_code != 4)) {
      std::printf("FAILED: it ended with signal %d, exit code %d\n", outcome.signal,
                  outcome.exit_code);
      ++failures;
    }
    if (failures > 0) {
      std::printf("  after %s without memory at request %zu%s\n", task.c_str(), at,
                  for_ever ? " and later" : "");
    }
    verdict.failures += failures;
    if (verdict.failures > 20) break;
  }
  std::printf("exit code 4 in %zu of %zu runs\n", num_refused, verdict.runs);
  return verdict;
}

}  // namespace nearlite::fault_test
