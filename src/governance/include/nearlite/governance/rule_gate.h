#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "nearlite/governance/gate.h"
#include "nearlite/governance/rules.h"

namespace nearlite {

/// What redacted text is replaced by.
constexpr std::string_view kRedacted = "[REDACTED]";

/// A gate that follows a rule set. One pass over the text finds the rules that may apply; only
/// those are searched for. Patterns are compiled at first use. Time is linear in the text.
class RuleGate : public Gate {
 public:
  /// Throws InvalidArgument that names the rule for a pattern that RE2 refuses or an unknown check.
  RuleGate(RuleSet rules, GateLevel level);
  ~RuleGate() override;

  GateDecision check(std::string_view text) const override;
  std::string rules_version() const override;

  const RuleSet& rules() const noexcept;
  GateLevel level() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A gate with the built-in rules; kOff: one that lets every text pass.
std::shared_ptr<const Gate> builtin_gate(GateLevel level);

}  // namespace nearlite
