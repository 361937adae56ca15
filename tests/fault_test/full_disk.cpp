// A disk that is full after any number of bytes, and has room again at the next run.
#include <algorithm>
#include <cstdio>
#include <random>
#include <string>

#include "scenario.h"

namespace nearlite::fault_test {
namespace {

constexpr std::size_t kStep = 4096;
constexpr std::size_t kMostBytes = std::size_t{1} << 20;  // more than any task writes

}  // namespace

Verdict test_full(const Settings& settings, const Template& start) {
  struct Case {
    std::string task;
    std::size_t space;
  };
  std::vector<Case> cases;
  for (const std::string_view task : kTasks) {
    for (std::size_t space = 0; space <= kMostBytes; space += kStep)
      cases.push_back({std::string(task), space});
  }
  std::mt19937_64 random(settings.seed);
  std::shuffle(cases.begin(), cases.end(), random);
  if (settings.runs > 0 && cases.size() > settings.runs) cases.resize(settings.runs);
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto folder = settings.folder / "full";
  Verdict verdict;
  std::size_t num_refused = 0;
  for (const auto& [task, space] : cases) {
    start.copy_to(folder, task);
    const Outcome outcome = run({self, "--worker", folder.string(), task},
                                {{"LD_PRELOAD", settings.disk_layer.string()},
                                 {"NEARLITE_TEST_DISK_FOLDER", folder.string()},
                                 {"NEARLITE_TEST_DISK_SPACE", std::to_string(space)}});
    ++verdict.runs;
    std::size_t failures = judge(folder, start.checker(), outcome.printed);
    if (outcome.exit_code == 4) ++num_refused;
    if (outcome.exit_code != 0 && outcome.exit_code != 4) {
      std::printf("FAILED: it ended with signal %d, exit code %d\n", outcome.signal,
                  outcome.exit_code);
      ++failures;
    }
    if (failures > 0) std::printf("  after %s with %zu bytes of room\n", task.c_str(), space);
    verdict.failures += failures;
    if (verdict.failures > 20) break;
  }
  std::printf("exit code 4 in %zu of %zu runs\n", num_refused, verdict.runs);
  return verdict;
}

}  // namespace nearlite::fault_test
