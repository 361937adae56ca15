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

struct Quality {
  std::map<RuleKind, KindQuality> kinds{};
  std::vector<std::string> mistakes{};  // one line each, for whoever improves a rule
};

Quality quality_of(const Gate& gate, const std::vector<LabelledCase>& cases);

}  // namespace nearlite
