#pragma once

#include <string>
#include <vector>

#include "nearlite/governance/gate.h"

namespace nearlite {

/// A text and what is to be found in it. Nothing in it is real: what looks like a secret is a value
/// from a vendor's documentation or made of a fixed sequence of random characters.
struct LabelledCase {
  std::string text{};
  std::vector<RuleKind> kinds{};  // every kind that applies; empty: nothing is to be found
  std::string hidden{};           // what a redaction has to remove
};

/// The labelled set on which the built-in rules are measured. What scanners of repositories look
/// for is put together here, so that the source files hold none of it.
std::vector<LabelledCase> labelled_cases();

/// Characters of an alphabet in a fixed order that looks like chance.
class Filler {
 public:
  explicit Filler(unsigned long long seed) : state_(seed * 2654435761ULL + 12345) {}
  std::string of(const std::string& alphabet, std::size_t count);
  std::string hex(std::size_t count) { return of("0123456789abcdef", count); }
  std::string base62(std::size_t count);
  std::string digits(std::size_t count) { return of("0123456789", count); }

 private:
  unsigned long long state_;
};

/// Tokens of every vendor whose format the built-in rules know, by rule name.
std::vector<std::pair<std::string, std::string>> vendor_tokens(unsigned long long seed);

}  // namespace nearlite
