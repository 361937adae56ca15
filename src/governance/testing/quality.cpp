#include "quality.h"

#include <algorithm>

#include "nearlite/governance/rules.h"

namespace nearlite {

namespace {

constexpr unsigned long long kFirstSeed = 100;
constexpr unsigned long long kLastSeed = 119;

void count_tokens(const Gate& gate, Quality& quality) {
  for (unsigned long long seed = kFirstSeed; seed <= kLastSeed; ++seed) {
    for (const auto& [rule, token] : vendor_tokens(seed)) {
      const GateDecision decision = gate.check("the value " + token + " was used");
      RuleQuality& counts = quality.rules[rule];
      ++counts.tokens;
      if (std::ranges::find(decision.findings, rule, &GateFinding::rule) == decision.findings.end())
        ++counts.missed;
    }
  }
}

}  // namespace

Quality quality_of(const Gate& gate, const std::vector<LabelledCase>& cases) {
  Quality quality;
  for (const LabelledCase& one : cases) {
    const GateDecision decision = gate.check(one.text);
    for (const GateFinding& finding : decision.findings) {
      const bool right = std::ranges::find(one.kinds, finding.kind) != one.kinds.end();
      RuleQuality& counts = quality.rules[finding.rule];
      ++(right ? counts.right : counts.false_alarms);
    }
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
  count_tokens(gate, quality);
  return quality;
}

}  // namespace nearlite
