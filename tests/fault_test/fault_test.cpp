// Faults of the system around the store, each at every place it can happen:
//   nearlite_fault_test calls|power|full|memory|flips|damage|company [--runs N] [--seed S]
// calls: a kill or an error at a call into the system (needs strace). power: a power cut that
// loses or tears what was not synced. full: a full disk. memory: a request for memory is refused.
// What they disturb are the six tasks of
// scenario.cpp. flips, damage: a bit flips in a file of a store, or it is cut, overwritten or
// replaced. company: two backfills and a user's own program at once. Without --runs: at all places
// there are (power: 10,000 states; flips: 10,000 bits of each kind of file).
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <random>
#include <string>

#include "nearlite/base/error.h"
#include "nearlite_test/temporary_folder.h"
#include "scenario.h"

// Of the memory layer, where it is loaded.
extern "C" {
[[gnu::weak]] void nearlite_test_memory_begins();
[[gnu::weak]] void nearlite_test_memory_ends();
}

namespace nearlite::fault_test {
namespace {

int test(const std::string& kind, Settings settings) {
  const TemporaryFolder folder(FolderPlace::kMemory);
  settings.folder = folder.path();
  settings.disk_layer = NEARLITE_TEST_DISK_LAYER;
  settings.memory_layer = NEARLITE_TEST_MEMORY_LAYER;
  std::printf("%s: seed %llu\n", kind.c_str(), static_cast<unsigned long long>(settings.seed));
  const Template start(settings.folder / "template");
  Verdict verdict;
  if (start.checker().num_failures() > 0) return 1;
  if (kind == "calls") verdict = test_calls(settings, start);
  if (kind == "power") verdict = test_power(settings, start);
  if (kind == "full") verdict = test_full(settings, start);
  if (kind == "memory") verdict = test_memory(settings, start);
  if (kind == "flips") verdict = test_damage(settings, start, true);
  if (kind == "damage") verdict = test_damage(settings, start, false);
  if (kind == "company") verdict = test_company(settings, start);
  std::printf("%s: %zu runs, %zu failures (seed %llu)\n", kind.c_str(), verdict.runs,
              verdict.failures, static_cast<unsigned long long>(settings.seed));
  return verdict.failures == 0 && verdict.runs > 0 ? 0 : 1;
}

}  // namespace
}  // namespace nearlite::fault_test

int main(int argc, char** argv) {
  using namespace nearlite::fault_test;  // NOLINT(google-build-using-namespace)
  try {
    if (argc == 4 && std::strcmp(argv[1], "--worker") == 0) {
      const std::filesystem::path folder = argv[2];
      if (nearlite_test_memory_begins != nullptr) nearlite_test_memory_begins();
      const int code = work(folder, argv[3]);
      if (nearlite_test_memory_ends != nullptr) nearlite_test_memory_ends();
      return code;
    }
    if (argc < 2) return 2;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    Settings settings;
    settings.seed = std::random_device{}();
    for (int i = 2; i + 1 < argc; i += 2) {
      if (std::strcmp(argv[i], "--runs") == 0) settings.runs = std::stoul(argv[i + 1]);
      if (std::strcmp(argv[i], "--seed") == 0) settings.seed = std::stoull(argv[i + 1]);
    }
    return test(argv[1], settings);
  } catch (const nearlite::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.type(), error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {  // as the program ends
    return 4;
  }
}
