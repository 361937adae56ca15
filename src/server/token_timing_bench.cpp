// Does the time that a wrong token takes say how much of it is right? Two classes in random order,
// as dudect measures: tokens that differ from the right one in the last character, and tokens of
// random characters. Welch's t over the faster 90 %: below 4.5, no difference can be told.
//
//   build/release/bin/nearlite_server_bench [SAMPLES]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "nearlite/server/access.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Class {
  std::vector<double> nanoseconds{};
  double mean = 0;
  double variance = 0;

  void summarize(double most) {
    std::erase_if(nanoseconds, [&](double value) { return value > most; });
    for (const double value : nanoseconds) mean += value / static_cast<double>(nanoseconds.size());
    for (const double value : nanoseconds)
      variance += (value - mean) * (value - mean) / static_cast<double>(nanoseconds.size() - 1);
  }
};

std::string random_token(std::mt19937_64& engine, std::size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string token;
  while (token.size() < size) token += kDigits[engine() % 16];
  return token;
}

}  // namespace

int main(int argc, char** argv) {
  const long samples = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 1'000'000;
  std::mt19937_64 engine(1);
  const std::string right = random_token(engine, 64);
  const auto tokens = nearlite::server::TokenList::parse(right + "\n", "bench");
  std::string near = right;
  near.back() = near.back() == '0' ? '1' : '0';
  Class classes[2];
  std::string token(64, '0');
  std::size_t accepted = 0;
  for (long i = 0; i < samples; ++i) {
    const std::size_t which = engine() % 2;
    // Both classes are prepared alike: only what the token says may differ, not what the processor
    // did just before.
    const std::string random = random_token(engine, 64);
    const std::string& source = which == 0 ? near : random;
    std::memcpy(token.data(), source.data(), token.size());
    const auto begin = Clock::now();
    accepted += tokens.find(token) != nullptr ? 1 : 0;
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    classes[which].nanoseconds.push_back(took.count());
  }
  std::vector<double> all = classes[0].nanoseconds;
  all.insert(all.end(), classes[1].nanoseconds.begin(), classes[1].nanoseconds.end());
  const auto cut = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 9 / 10);
  std::nth_element(all.begin(), cut, all.end());
  for (Class& one : classes) one.summarize(*cut);
  const double n0 = static_cast<double>(classes[0].nanoseconds.size());
  const double n1 = static_cast<double>(classes[1].nanoseconds.size());
  const double t = (classes[0].mean - classes[1].mean) /
                   std::sqrt(classes[0].variance / n0 + classes[1].variance / n1);
  std::printf(
      "%ld samples: nearly right %.1f ns, random %.1f ns, |t| = %.2f (4.5 tells them apart)\n",
      samples, classes[0].mean, classes[1].mean, std::abs(t));
  return accepted == 0 ? 0 : 1;
}
