#pragma once

#include <map>
#include <string>
#include <vector>

#include "labelled_cases.h"

namespace nearlite {

/// Right and wrong answers of a gate about the cases, for one kind of rules.
struct KindQuality {
  std::size_t found = 0;         // labelled and found
  std::size_t missed = 0;        // labelled and not found
  std::size_t false_alarms = 0;  // found and not labelled
  double recall() const { return static_cast<double>(found) / static_cast<double>(found + missed); }
  double precision() const {
    return static_cast<double>(found) / static_cast<double>(found + false_alarms);
  }
};

/// The same for one rule. A finding is right where its kind is labelled; missed are the tokens of
/// vendor_tokens(), which name their rule, that another rule or none found.
struct RuleQuality {
  std::size_t right = 0;
  std::size_t false_alarms = 0;
  std::size_t tokens = 0;
  std::size_t missed = 0;
  double precision() const {
    const std::size_t all = right + false_alarms;
    return all == 0 ? 1 : static_cast<double>(right) / static_cast<double>(all);
  }
  double recall() const {
    return tokens == 0 ? 1 : static_cast<double>(tokens - missed) / static_cast<double>(tokens);
  }
};

struct Quality {
  std::map<std::string, RuleQuality> rules{};
  std::map<RuleKind, KindQuality> kinds{};
  std::vector<std::string> mistakes{};  // one line each, for whoever improves a rule
};

Quality quality_of(const Gate& gate, const std::vector<LabelledCase>& cases);

}  // namespace nearlite
