#include "quality.h"

#include <algorithm>

#include "nearlite/governance/rules.h"

namespace nearlite {

Quality quality_of(const Gate& gate, const std::vector<LabelledCase>& cases) {
  Quality quality;
  for (const LabelledCase& one : cases) {
    const GateDecision decision = gate.check(one.text);
    for (const RuleKind kind :
         {RuleKind::kLicence, RuleKind::kSecret, RuleKind::kPersonal, RuleKind::kRisk}) {
      const bool wanted = std::ranges::find(one.kinds, kind) != one.kinds.end();
      const auto finding = std::ranges::find(decision.findings, kind, &GateFinding::kind);
      const bool found = finding != decision.findings.end();
      KindQuality& counts = quality.kinds[kind];
      if (wanted && found) ++counts.found;
      if (wanted && !found) ++counts.missed;
      if (!wanted && found) ++counts.false_alarms;
      if (wanted == found) continue;
      quality.mistakes.push_back(
          std::string(found ? "false alarm of " + finding->rule : "missed ") +
          (found ? "" : std::string(rule_kind_name(kind))) + ": " + one.text);
    }
  }
  return quality;
}

}  // namespace nearlite
