#include <gmock/gmock.h>

#include "nearlite/governance/rule_gate.h"
#include "testing/quality.h"

namespace nearlite {
namespace {

constexpr double kLeastRecall = 0.97;
constexpr double kLeastPrecision = 0.97;
constexpr std::size_t kLeastCases = 400;

std::string lines_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST(GovernanceQuality, EveryKindIsFoundAndLittleElse) {
  const auto cases = labelled_cases();
  EXPECT_GE(cases.size(), kLeastCases);
  const auto gate = builtin_gate(GateLevel::kFull);
  const Quality quality = quality_of(*gate, cases);
  ASSERT_EQ(quality.kinds.size(), 4U);
  for (const auto& [kind, counts] : quality.kinds) {
    EXPECT_GE(counts.found + counts.missed, 30U) << rule_kind_name(kind);
    EXPECT_GE(counts.recall(), kLeastRecall) << rule_kind_name(kind) << "\n"
                                             << lines_of(quality.mistakes);
    EXPECT_GE(counts.precision(), kLeastPrecision) << rule_kind_name(kind) << "\n"
                                                   << lines_of(quality.mistakes);
  }
}

TEST(GovernanceQuality, EveryRuleOfTheSetIsUsedAndRight) {
  const Quality quality = quality_of(*builtin_gate(GateLevel::kFull), labelled_cases());
  for (const auto& [rule, counts] : quality.rules) {
    EXPECT_GT(counts.right + counts.tokens, 0U) << rule;
    EXPECT_GE(counts.precision(), kLeastPrecision) << rule;
    EXPECT_GE(counts.recall(), kLeastRecall) << rule;
  }
  EXPECT_GE(quality.rules.size(), 60U);
}

TEST(GovernanceQuality, EveryVendorsTokenIsFoundByItsOwnRule) {
  const auto gate = builtin_gate(GateLevel::kFull);
  for (unsigned long long seed = 100; seed < 120; ++seed) {
    for (const auto& [rule, token] : vendor_tokens(seed)) {
      const GateDecision decision = gate->check("the value " + token + " was used");
      ASSERT_FALSE(decision.findings.empty()) << rule << " " << token;
      EXPECT_EQ(decision.findings[0].rule, rule) << token;
      EXPECT_EQ(decision.action, GateAction::kRedact);
    }
  }
}

TEST(GovernanceQuality, NothingHiddenIsLeftInTheText) {
  const auto gate = builtin_gate(GateLevel::kFull);
  std::size_t looked_at = 0;
  for (const LabelledCase& one : labelled_cases()) {
    const GateDecision decision = gate->check(one.text);
    if (one.hidden.empty() || decision.action != GateAction::kRedact) continue;
    ++looked_at;
    // A URL with a token in it keeps the server's name: what counts is its last part.
    const std::string part =
        one.hidden.substr(one.hidden.size() - std::min<std::size_t>(one.hidden.size(), 10));
    EXPECT_EQ(decision.text.find(part), std::string::npos) << one.text << "\n" << decision.text;
  }
  EXPECT_GT(looked_at, 300U);
}

}  // namespace
}  // namespace nearlite
