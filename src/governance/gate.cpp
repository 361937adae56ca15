#include "nearlite/governance/gate.h"

namespace nearlite {

std::string_view gate_action_name(GateAction action) {
  switch (action) {
    case GateAction::kAllow:
      return "allow";
    case GateAction::kRedact:
      return "redact";
    case GateAction::kQuarantine:
      return "quarantine";
    case GateAction::kBlock:
      return "block";
  }
  return "allow";
}

GateDecision PassAllGate::check(std::string_view) const { return {}; }
std::string PassAllGate::rules_version() const { return "pass-all-1"; }

}  // namespace nearlite
