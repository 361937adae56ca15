// What the encoder costs: nearlite_encoder_bench TEXTS [MODEL [SECONDS [PRECISION]]]
// TEXTS: one text per line (package descriptions, for example); the first 1,500 are used. MODEL: a
// folder or a name (default: all-MiniLM-L6-v2 where the environment says that models are). SECONDS:
// for how long each figure is repeated (default 6). Prints one JSON object per figure, in the units
// of tools/bench_encoder_peers.py, the best of the repetitions: on a busy machine that is what
// comes nearest to a quiet one.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/encoder/text_encoder.h"

namespace {

using nearlite::EncodedBatch;
using nearlite::Stopwatch;
using nearlite::TextEncoder;
using nearlite::TextRole;

constexpr std::size_t kMaxTexts = 1500;
constexpr const char* kQuestion = "how do I reset a password";

std::string who;  // "nearlite int16"

void report(const std::string& what, const std::string& shape, double value, const char* unit) {
  std::printf(
      "%s\n",
      nlohmann::json{
          {"figure", what}, {"who", who}, {"shape", shape}, {"value", value}, {"unit", unit}}
          .dump()
          .c_str());
  std::fflush(stdout);
}

double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::vector<std::string> read_lines(const char* file) {
  std::vector<std::string> lines;
  std::ifstream stream(file);
  for (std::string line; lines.size() < kMaxTexts && std::getline(stream, line);)
    lines.push_back(line);
  return lines;
}

std::shared_ptr<const TextEncoder> open(const std::string& model, std::size_t threads,
                                        nearlite::Precision precision) {
  return nearlite::lazy_encoder(model, nearlite::ModelPlaces::from_environment(),
                                {.threads = threads, .precision = precision});
}

/// Resident memory of this process now, in MB.
double resident_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

/// Milliseconds that a question takes: the median and the best of many.
void ask(const TextEncoder& encoder, double seconds, const std::string& when) {
  const std::string_view question = kQuestion;
  std::vector<double> times;
  for (const Stopwatch all; times.size() < 20 || all.elapsed_ms() < seconds * 1000;) {
    const Stopwatch one;
    encoder.encode(std::span(&question, 1), TextRole::kQuery);
    times.push_back(one.elapsed_ms());
  }
  std::sort(times.begin(), times.end());
  report("one question" + when + ", median", "8 tokens, 1 thread", times[times.size() / 2], "ms");
  report("one question" + when + ", best", "8 tokens, 1 thread", times[0], "ms");
}

/// Slices of 25 texts, one after the other, for some seconds.
void encode(const TextEncoder& encoder, const std::vector<std::string_view>& texts,
            std::size_t threads, double seconds) {
  constexpr std::size_t kSlice = 25;
  encoder.encode(std::span(texts).first(std::min<std::size_t>(8, texts.size())), TextRole::kPlain);
  double tokens = 0;
  double best = 0;
  std::size_t at = 0;
  const double busy_before = processor_seconds();
  const Stopwatch all;
  while (all.elapsed_ms() < seconds * 1000) {
    const auto slice = std::span(texts).subspan(at, std::min(kSlice, texts.size() - at));
    const Stopwatch watch;
    const EncodedBatch batch = encoder.encode(slice, TextRole::kPlain);
    tokens += static_cast<double>(batch.num_tokens);
    best = std::max(best, static_cast<double>(batch.num_tokens) / watch.elapsed_ms() * 1000);
    at = at + kSlice < texts.size() ? at + kSlice : 0;
  }
  const double wall_seconds = all.elapsed_ms() / 1000;
  const std::string shape = std::to_string(texts.size()) + " texts in slices of 25, " +
                            std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  report("encode", shape, tokens / wall_seconds, "tokens/s");
  report("encode, best slice", shape, best, "tokens/s");
  report("encode, per processor second", shape, tokens / (processor_seconds() - busy_before),
         "tokens/s");
}

void bench(const std::string& model, const std::vector<std::string>& lines, double seconds,
           nearlite::Precision precision) {
  const std::string_view question = kQuestion;
  const std::vector<std::string_view> texts(lines.begin(), lines.end());
  const Stopwatch first;
  const auto single = open(model, 1, precision);
  single->encode(std::span(&question, 1), TextRole::kQuery);
  report("first vector, look-up and loading included", "1 text", first.elapsed_ms(), "ms");
  ask(*single, seconds / 2, "");
  encode(*single, texts, 1, seconds);
  report("resident memory while encoding", "1 thread", resident_megabytes(), "MB");
  encode(*open(model, 2, precision), texts, 2, seconds);

  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) single->encode(std::span(texts).first(25), TextRole::kPlain);
  });
  ask(*single, seconds / 2, " while another thread encodes");
  done = true;
  other.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 5) {
    std::fprintf(stderr, "usage: nearlite_encoder_bench TEXTS [MODEL [SECONDS [PRECISION]]]\n");
    return 2;
  }
  const std::vector<std::string> lines = read_lines(argv[1]);
  if (lines.empty()) {
    std::fprintf(stderr, "%s has no lines\n", argv[1]);
    return 2;
  }
  try {
    const auto precision =
        nearlite::chosen_precision(nearlite::precision_of_name(argc > 4 ? argv[4] : "auto"));
    who = "nearlite " + std::string(nearlite::precision_name(precision));
    bench(argc > 2 ? argv[2] : "", lines, argc > 3 ? std::atof(argv[3]) : 6.0, precision);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
