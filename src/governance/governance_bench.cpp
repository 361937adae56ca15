// What governance finds and what it costs: the labelled set, and megabytes per second of text.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "nearlite/governance/rule_gate.h"
#include "testing/quality.h"

namespace nearlite {
namespace {

/// Texts of about `bytes` each: prose with some numbers, names, code and now and then a finding.
std::vector<std::string> texts_of(std::size_t bytes, std::size_t total) {
  static constexpr const char* kSentences[] = {
      "This package provides the run-time libraries and the documentation of the program. ",
      "Version 2.4.1-3 fixes a crash that was reported when the file is larger than 4 GiB. ",
      "To upload a file, open the page, choose the file and press the key marked Send; a token is "
      "shown. ",
      "for (int i = 0; i < n; ++i) { sum += values[i] * weights[i]; } ",
      "The library was written by Anna Berg and is used by more than 1,200 projects since 2014. ",
      "See https://example.org/docs/index.html for the manual, and the mailing list for "
      "questions. ",
      "Es gibt auch eine deutsche \xC3\x9C"
      "bersetzung der Anleitung, sie liegt im Ordner doc/de. ",
      "Errors are written to the log; a message names the column, the key and the row. "};
  std::vector<std::string> texts;
  std::size_t number = 0;
  for (std::size_t made = 0; made < total;) {
    std::string text;
    while (text.size() < bytes)
      text += kSentences[(number++ * 7 + texts.size()) % std::size(kSentences)];
    if (texts.size() % 50 == 0) text += "Contact: anna@example.org";
    made += text.size();
    texts.push_back(std::move(text));
  }
  return texts;
}

/// state.range(0): bytes per text.
void BM_Check(benchmark::State& state) {
  const auto gate = builtin_gate(GateLevel::kFull);
  const auto texts = texts_of(static_cast<std::size_t>(state.range(0)), 4'000'000);
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  std::size_t findings = 0;
  for (auto _ : state) {
    for (const std::string& text : texts) findings += gate->check(text).findings.size();
  }
  benchmark::DoNotOptimize(findings);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) *
                          static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(BM_Check)->ArgName("bytes")->Arg(100)->Arg(400)->Arg(4000)->Arg(100'000)->Unit(
    benchmark::kMillisecond);

void BM_FirstCheck(benchmark::State& state) {  // compiling the whole set, once per process
  for (auto _ : state)
    benchmark::DoNotOptimize(builtin_gate(GateLevel::kFull)->check("a plain text"));
}
BENCHMARK(BM_FirstCheck)->Unit(benchmark::kMillisecond);

void print_quality() {
  const auto cases = labelled_cases();
  const auto gate = builtin_gate(GateLevel::kFull);
  const Quality quality = quality_of(*gate, cases);
  std::printf("labelled set: %zu cases, %zu rules\n", cases.size(), builtin_rules().rules.size());
  std::printf("%-10s %9s %7s %13s %7s %10s\n", "kind", "labelled", "found", "false alarms",
              "recall", "precision");
  for (const auto& [kind, counts] : quality.kinds) {
    std::printf("%-10s %9zu %7zu %13zu %7.3f %10.3f\n", std::string(rule_kind_name(kind)).c_str(),
                counts.found + counts.missed, counts.found, counts.false_alarms, counts.recall(),
                counts.precision());
  }
  std::printf("%-28s %7s %13s %10s %9s %7s\n", "rule", "right", "false alarms", "precision",
              "tokens", "recall");
  for (const auto& [rule, counts] : quality.rules) {
    std::printf("%-28s %7zu %13zu %10.3f %9zu ", rule.c_str(), counts.right, counts.false_alarms,
                counts.precision(), counts.tokens);
    if (counts.tokens == 0) {
      std::printf("%7s\n", "-");
    } else {
      std::printf("%7.3f\n", counts.recall());
    }
  }
  for (const std::string& mistake : quality.mistakes) std::printf("  %s\n", mistake.c_str());
  std::fflush(stdout);
}

}  // namespace
}  // namespace nearlite

int main(int argc, char** argv) {
  nearlite::print_quality();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
