// Kills and errors at every call into the system, injected by strace.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>

#include "scenario.h"

namespace nearlite::fault_test {
namespace {

// The calls that change files, or make that certain.
constexpr const char* kCalls[] = {"write",  "pwrite64", "fsync", "fdatasync", "rename",    "openat",
                                  "unlink", "unlinkat", "mkdir", "flock",     "ftruncate", "chmod"};
constexpr const char* kFaults[] = {"signal=KILL", "error=EIO", "error=ENOSPC"};

struct Injection {
  std::string task;
  std::string call;
  std::size_t number;  // of this call in the process
  const char* fault;
  bool for_ever;  // and all later ones
};

std::vector<std::string> worker(const std::filesystem::path& folder, const std::string& task) {
  return {"/proc/self/exe", "--worker", folder.string(), task};
}

std::vector<std::string> traced(std::vector<std::string> options, const std::filesystem::path& self,
                                std::vector<std::string> command) {
  std::vector<std::string> all = {"strace", "-f", "-qq"};
  all.insert(all.end(), options.begin(), options.end());
  command[0] = self.string();  // /proc/self/exe would be strace
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

/// How often each call is made before the task begins, and by its end.
std::map<std::string, std::pair<std::size_t, std::size_t>> count_calls(
    const Settings& settings, const Template& start, const std::filesystem::path& self,
    const std::string& task) {
  const auto folder = settings.folder / "counted";
  const auto log = settings.folder / "calls.log";
  start.copy_to(folder, task);
  std::string trace = "trace=access,faccessat,faccessat2";
  for (const char* call : kCalls) trace += std::string(",") + call;
  const Outcome outcome =
      run(traced({"-o", log.string(), "-e", trace}, self, worker(folder, task)));
  if (outcome.signal != 0 || outcome.exit_code != 0) {
    std::printf("FAILED: %s, undisturbed, ended with %d (is strace there?)\n", task.c_str(),
                outcome.exit_code);
    return {};
  }
  std::map<std::string, std::pair<std::size_t, std::size_t>> counts;
  bool begun = false;
  std::ifstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    begun = begun || line.find("nearlite-fault-test-begins") != std::string::npos;
    const auto blank = line.find_first_not_of("0123456789 ");
    const std::string call = line.substr(blank, line.find('(') - blank);
    auto& [before, all] = counts[call];
    if (!begun) ++before;
    ++all;
  }
  counts.erase("access");
  std::filesystem::remove_all(folder);
  return counts;
}

std::string describe(const Injection& injection) {
  return injection.task + ", " + injection.call + ":" + injection.fault +
         ":when=" + std::to_string(injection.number) + (injection.for_ever ? "+" : "");
}

}  // namespace

Verdict test_calls(const Settings& settings, const Template& start) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  std::vector<Injection> injections;
  Verdict verdict;
  for (const std::string_view task : kTasks) {
    std::size_t num_calls = 0;
    const auto counts = count_calls(settings, start, self, std::string(task));
    if (counts.empty()) ++verdict.failures;
    for (const auto& [call, range] : counts) {
      if (std::ranges::find(kCalls, call) == std::end(kCalls)) continue;
      num_calls += range.second - range.first;
      for (std::size_t number = range.first + 1; number <= range.second; ++number) {
        for (const char* fault : kFaults) {
          injections.push_back({std::string(task), call, number, fault, false});
          if (fault != kFaults[0])
            injections.push_back({std::string(task), call, number, fault, true});
        }
      }
    }
    std::printf("%.*s: %zu calls\n", static_cast<int>(task.size()), task.data(), num_calls);
  }
  std::mt19937_64 random(settings.seed);
  std::shuffle(injections.begin(), injections.end(), random);
  if (settings.runs > 0 && injections.size() > settings.runs) injections.resize(settings.runs);
  const auto folder = settings.folder / "disturbed";
  for (const Injection& injection : injections) {
    start.copy_to(folder, injection.task);
    const std::string inject = "inject=" + injection.call + ":" + injection.fault +
                               ":when=" + std::to_string(injection.number) +
                               (injection.for_ever ? "+" : "");
    const Outcome outcome = run(
        traced({"-o", "/dev/null", "--seccomp-bpf", "-e", "trace=" + injection.call, "-e", inject},
               self, worker(folder, injection.task)));
    ++verdict.runs;
    const bool is_kill = injection.fault == kFaults[0];
    std::size_t failures = judge(folder, start.checker(), outcome.printed);
    // strace ends as its child did.
    const bool ended_well = is_kill ? outcome.signal == 9 || outcome.exit_code == 0
                                    : outcome.signal == 0 && outcome.exit_code <= 5 &&
                                          outcome.exit_code != 2 && outcome.exit_code >= 0;
    if (!ended_well) {
      std::printf("FAILED: it ended with signal %d, exit code %d\n", outcome.signal,
                  outcome.exit_code);
      ++failures;
    }
    if (failures > 0) std::printf("  after %s\n", describe(injection).c_str());
    verdict.failures += failures;
    if (verdict.failures > 20) break;
  }
  return verdict;
}

}  // namespace nearlite::fault_test
