#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// From the mildest to the strictest: of several findings the strictest decides.
enum class GateAction { kAllow, kRedact, kQuarantine, kBlock };
/// "allow", "redact", "quarantine", "block"
std::string_view gate_action_name(GateAction action);

enum class RuleKind { kLicence, kSecret, kPersonal, kRisk };

/// Where a rule applies. Never holds the text found.
struct GateFinding {
  std::string rule{};
  RuleKind kind = RuleKind::kSecret;
  std::size_t start = 0;  // bytes of the text
  std::size_t end = 0;
  GateAction action = GateAction::kAllow;  // what the rule does about it here
};

/// What the gate says of one text.
struct GateDecision {
  GateAction action = GateAction::kAllow;
  std::string text{};                   // what to embed, if anything was redacted; else empty
  std::vector<std::string> reasons{};   // "mail-address at 3-20", one per finding acted upon
  std::vector<GateFinding> findings{};  // by place; also those that are only reported
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
