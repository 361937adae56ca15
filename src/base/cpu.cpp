#include "nearlite/base/cpu.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace nearlite {
namespace {

CpuFeatures detect() {
  __builtin_cpu_init();
  CpuFeatures found;
  found.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  found.avx512 = found.avx2 && __builtin_cpu_supports("avx512f") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl");
  found.avx512_vnni = found.avx512 && __builtin_cpu_supports("avx512vnni");
  found.avx512_bf16 = found.avx512 && __builtin_cpu_supports("avx512bf16");
  const char* forced = std::getenv("NEARLITE_ISA");
  const std::string_view isa = forced == nullptr ? "" : forced;
  if (isa == "scalar") found = {};
  if (isa == "avx2") found = {.avx2 = found.avx2};
  if (isa == "avx512") found = {.avx2 = found.avx2, .avx512 = found.avx512};
  return found;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

std::size_t available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::size_t cpus = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = static_cast<std::size_t>(CPU_COUNT(&set));
  std::ifstream quota_file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (quota_file >> quota >> period && quota != "max" && period > 0) {
    const double allowed = std::strtod(quota.c_str(), nullptr) / period;
    cpus = std::min(cpus, static_cast<std::size_t>(std::max(1.0, allowed)));
  }
  return std::max<std::size_t>(cpus, 1);
}

std::size_t half_the_cpus() { return std::max<std::size_t>(available_cpus() / 2, 1); }

}  // namespace nearlite
