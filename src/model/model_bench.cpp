// What the forward pass costs: nearlite_model_bench MODEL-FOLDER [SECONDS [PRECISION...]]
// One thread. For each precision the rate of the machine's own multiply-and-add instruction in a
// loop that touches no memory, then tokens per processor second for texts of several lengths, the
// share of the limit that the instruction's rate and the model's operations set, and where the time
// goes. One JSON object per figure. Processor time and the fastest of many short runs: on a busy
// machine that is what comes nearest to a quiet one.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/cpu.h"
#include "nearlite/model/transformer.h"

namespace {

using namespace nearlite;

double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <typename Work>
double fastest(int times, Work work) {
  double best = 1e9;
  for (int i = 0; i < times; ++i) {
    const double begin = processor_seconds();
    work();
    best = std::min(best, processor_seconds() - begin);
  }
  return best;
}

constexpr long kRounds = 100'000;
constexpr double kChains = 12;  // more than latency times rate on every processor

// Twelve independent chains of one instruction, or of those that stand for one, and nothing else.
// On zeros: what the registers held may be denormal.
#define NEARLITE_CHAINS(instruction)                                                               \
  fastest(20, [] {                                                                                 \
    asm volatile(                                                                                  \
        "mov %0, %%rcx\n.irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"                            \
        "vpxor %%xmm\\r, %%xmm\\r, %%xmm\\r\n.endr\n1:\n.irp "                                     \
        "r,0,1,2,3,4,5,6,7,8,9,10,11\n" instruction "\n.endr\ndec %%rcx\njnz 1b"                   \
        :                                                                                          \
        : "r"(kRounds)                                                                             \
        : "rcx", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
          "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                           \
  })

/// Operations per second (a multiplication and an addition are two) that one core can do in a
/// precision, in units of 10^9.
double peak_of(Precision precision) {
  const CpuFeatures& cpu = cpu_features();
  double seconds = 0;
  double lanes = 0;
  if (cpu.avx512_vnni && precision == Precision::kInt8) {
    seconds = NEARLITE_CHAINS("vpdpbusd %%zmm14, %%zmm15, %%zmm\\r");
    lanes = 64;
  } else if (cpu.avx512_vnni && precision == Precision::kInt16) {
    seconds = NEARLITE_CHAINS("vpdpwssd %%zmm14, %%zmm15, %%zmm\\r");
    lanes = 32;
  } else if (cpu.avx512) {
    seconds = NEARLITE_CHAINS("vfmadd231ps %%zmm14, %%zmm15, %%zmm\\r");
    lanes = 16;
  } else if (cpu.avx2 && precision == Precision::kInt8) {
    seconds = NEARLITE_CHAINS(
        "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\nvpmaddwd %%ymm12, %%ymm13, %%ymm12\n"
        "vpaddd %%ymm12, %%ymm\\r, %%ymm\\r");
    lanes = 32;
  } else if (cpu.avx2 && precision == Precision::kInt16) {
    seconds =
        NEARLITE_CHAINS("vpmaddwd %%ymm14, %%ymm15, %%ymm12\nvpaddd %%ymm12, %%ymm\\r, %%ymm\\r");
    lanes = 16;
  } else if (cpu.avx2) {
    seconds = NEARLITE_CHAINS("vfmadd231ps %%ymm14, %%ymm15, %%ymm\\r");
    lanes = 8;
  } else {
    return 0;
  }
  return 2 * lanes * kChains * static_cast<double>(kRounds) / seconds * 1e-9;
}

void report(const std::string& who, const std::string& figure, const std::string& shape,
            double value, const char* unit) {
  std::printf("%s\n", nlohmann::json{{"task", figure},
                                     {"who", "nearlite " + who},
                                     {"shape", shape},
                                     {"value", value},
                                     {"unit", unit},
                                     {"better", "more"}}
                          .dump()
                          .c_str());
  std::fflush(stdout);
}

struct Workload {
  std::string name;
  std::vector<std::size_t> lengths;
};

std::vector<Workload> workloads(std::size_t longest) {
  std::vector<Workload> all;
  for (const std::size_t length : {8, 32, 128, 256, 512}) {
    if (length > longest) continue;
    const std::size_t texts = std::max<std::size_t>(1, 256 / length);
    all.push_back({std::to_string(texts) + " x " + std::to_string(length) + " tokens",
                   std::vector<std::size_t>(texts, length)});
  }
  all.push_back({"mix of 8 to 110 tokens, 256 together", {110, 60, 34, 20, 13, 11, 8}});
  all.push_back({"one text of 10 tokens", {10}});
  return all;
}

void bench(const std::filesystem::path& folder, double seconds,
           const std::vector<std::string>& precisions) {
  const TransformerConfig config = read_transformer_config(folder / "config.json");
  const auto weights = std::make_shared<const Weights>(folder);
  const auto layers = static_cast<double>(config.num_layers);
  const auto hidden = static_cast<double>(config.hidden);
  const double linear_operations =
      layers * (8 * hidden * hidden + 4 * hidden * static_cast<double>(config.intermediate));
  for (const std::string& name : precisions) {
    const Precision precision = precision_of_name(name);
    report(name, "register-resident loop", "one thread", peak_of(precision), "GOP/s");
    const double load_begin = processor_seconds();
    const auto model = load_transformer(config, weights, precision);
    report(name, "packing the weights", folder.filename().string(),
           (processor_seconds() - load_begin) * 1e3, "ms");
    for (const Workload& workload : workloads(config.max_positions)) {
      std::vector<std::int32_t> ids;
      std::vector<std::uint32_t> boundaries{0};
      double attention_operations = 0;
      for (const std::size_t length : workload.lengths) {
        for (std::size_t i = 0; i < length; ++i) {
          ids.push_back(static_cast<std::int32_t>(ids.size() * 7919 % config.vocabulary));
        }
        boundaries.push_back(static_cast<std::uint32_t>(ids.size()));
        attention_operations +=
            4 * layers * hidden * static_cast<double>(length) * static_cast<double>(length);
      }
      const auto tokens = static_cast<double>(ids.size());
      TransformerWorkspace workspace;
      model->forward({ids, boundaries}, workspace);
      StageSeconds stages;
      double best = 1e9;
      // Beside each workload: the clock changes from second to second.
      double peak = peak_of(precision);
      double float_peak = peak_of(Precision::kFp32);
      for (const double end = processor_seconds() + seconds; processor_seconds() < end;) {
        StageSeconds once;
        workspace.measure(&once);
        const double begin = processor_seconds();
        model->forward({ids, boundaries}, workspace);
        const double took = processor_seconds() - begin;
        if (took < best) stages = once;
        best = std::min(best, took);
      }
      peak = std::max(peak, peak_of(precision));
      float_peak = std::max(float_peak, peak_of(Precision::kFp32));
      const double limit =
          tokens * linear_operations / (peak * 1e9) + attention_operations / (float_peak * 1e9);
      report(name, "forward pass, per processor second", workload.name, tokens / best, "tokens/s");
      report(name, "share of the limit", workload.name, 100 * limit / best, "%");
      for (const auto& [stage, part] : {std::pair<const char*, double>{"embed", stages.embed},
                                        {"projections", stages.projections},
                                        {"attention", stages.attention},
                                        {"feed-forward", stages.feed_forward},
                                        {"norm", stages.norm}}) {
        report(name, std::string("stage: ") + stage, workload.name, part / tokens * 1e6,
               "us/token");
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: nearlite_model_bench MODEL-FOLDER [SECONDS [PRECISION...]]\n");
    return 2;
  }
  try {
    std::vector<std::string> precisions(argv + std::min(argc, 3), argv + argc);
    if (precisions.empty()) precisions = {"fp32", "bf16", "int16", "int8"};
    bench(argv[1], argc > 2 ? std::atof(argv[2]) : 0.5, precisions);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
