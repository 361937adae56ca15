#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

enum class GateAction { kAllow, kRedact, kQuarantine, kBlock };
/// "allow", "redact", "quarantine", "block"
std::string_view gate_action_name(GateAction action);

/// What the gate says of one text.
struct GateDecision {
  GateAction action = GateAction::kAllow;
  std::string text{};                  // what to embed; only set when redacted
  std::vector<std::string> reasons{};  // rule and kind, one per finding; never the text found
};

/// Stands before the encoder: every document text passes it, questions do not. May be called from
/// several threads.
class Gate {
 public:
  virtual ~Gate() = default;
  virtual GateDecision check(std::string_view text) const = 0;
  /// Names the rules in force; stored with each decision. A change makes earlier decisions due
  /// again.
  virtual std::string rules_version() const = 0;
};

/// Lets every text pass.
class PassAllGate : public Gate {
 public:
  GateDecision check(std::string_view text) const override;
  std::string rules_version() const override;
};

}  // namespace nearlite
