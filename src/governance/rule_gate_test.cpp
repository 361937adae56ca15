#include "nearlite/governance/rule_gate.h"

#include <gmock/gmock.h>

#include "nearlite/base/error.h"
#include "nearlite_test/message_of.h"
#include "rule_checks.h"
#include "testing/labelled_cases.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kAwsKey = std::string("AKIA") + "IOSFODNN7EXAMPLE";

RuleSet one_rule(const std::string& pattern, GateAction action = GateAction::kRedact) {
  RuleSet set;
  set.rules.push_back(
      {.name = "own", .kind = RuleKind::kSecret, .action = action, .pattern = pattern});
  return set;
}

TEST(RuleGate, LetsAPlainTextPassUnchanged) {
  const auto gate = builtin_gate(GateLevel::kFull);
  for (const char* text :
       {"", "please load the data", "gplot draws", "pickle", "Ärger mit dem Drucker"}) {
    const GateDecision decision = gate->check(text);
    EXPECT_EQ(decision.action, GateAction::kAllow) << text;
    EXPECT_THAT(decision.text, IsEmpty());
    EXPECT_THAT(decision.findings, IsEmpty());
  }
}

TEST(RuleGate, SaysWhichRuleFoundWhatWhere) {
  const GateDecision decision =
      builtin_gate(GateLevel::kFull)->check("key " + kAwsKey + " of bob@example.com");
  EXPECT_EQ(decision.action, GateAction::kRedact);
  EXPECT_EQ(decision.text, "key [REDACTED] of [REDACTED]");
  ASSERT_EQ(decision.findings.size(), 2U);
  EXPECT_EQ(decision.findings[0].rule, "aws-access-key");
  EXPECT_EQ(decision.findings[0].kind, RuleKind::kSecret);
  EXPECT_EQ(decision.findings[0].start, 4U);
  EXPECT_EQ(decision.findings[0].end, 24U);
  EXPECT_THAT(decision.reasons, ElementsAre("aws-access-key at 4-24", "mail-address at 28-43"));
}

TEST(RuleGate, TheStrictestFindingDecides) {
  const auto gate = builtin_gate(GateLevel::kFull);
  EXPECT_EQ(gate->check("bob@example.com and eval(data)").action, GateAction::kQuarantine);
  const GateDecision decision =
      gate->check("bob@example.com, eval(data), under the GNU General Public License");
  EXPECT_EQ(decision.action, GateAction::kBlock);
  EXPECT_EQ(decision.findings.size(), 3U);
}

TEST(RuleGate, AQuarantinedTextIsRedactedTooForWhenItIsReleased) {
  const GateDecision decision =
      builtin_gate(GateLevel::kFull)->check("eval(data) by bob@example.com");
  EXPECT_EQ(decision.action, GateAction::kQuarantine);
  EXPECT_EQ(decision.text, "eval(data) by [REDACTED]");
}

TEST(RuleGate, AtTheLevelSecretsTheOtherKindsAreOnlyReported) {
  const auto gate = builtin_gate(GateLevel::kSecrets);
  const GateDecision decision = gate->check("bob@example.com has " + kAwsKey + " under the GPLv3");
  EXPECT_EQ(decision.action, GateAction::kRedact);
  EXPECT_EQ(decision.text, "bob@example.com has [REDACTED] under the GPLv3");
  ASSERT_EQ(decision.findings.size(), 3U);
  EXPECT_EQ(decision.findings[0].action, GateAction::kAllow);
  EXPECT_THAT(decision.reasons, ElementsAre("aws-access-key at 20-40"));
}

TEST(RuleGate, OffLooksAtNothing) {
  EXPECT_THAT(builtin_gate(GateLevel::kOff)->check(kAwsKey).findings, IsEmpty());
  EXPECT_THAT(RuleGate(builtin_rules(), GateLevel::kOff).check(kAwsKey).findings, IsEmpty());
}

TEST(RuleGate, FindsEveryOneOfMany) {
  std::string text;
  for (unsigned long long i = 0; i < 500; ++i) text += vendor_tokens(i % 7 + 1)[1].second + "\n";
  const GateDecision decision = builtin_gate(GateLevel::kSecrets)->check(text);
  EXPECT_EQ(decision.findings.size(), 500U);
  EXPECT_EQ(decision.reasons.size(), 21U);
  EXPECT_EQ(decision.reasons.back(), "and 480 more");
  EXPECT_EQ(decision.text.find("ghp"), std::string::npos);
}

TEST(RuleGate, ReasonsNeverHoldTheTextFound) {
  const auto gate = builtin_gate(GateLevel::kFull);
  for (const LabelledCase& one : labelled_cases()) {
    if (one.hidden.size() < 8) continue;
    for (const std::string& reason : gate->check(one.text).reasons) {
      EXPECT_EQ(reason.find(one.hidden), std::string::npos);
    }
  }
}

TEST(RuleGate, AGroupIsThePartThatCounts) {
  const RuleGate gate(one_rule("id=([0-9]+)"), GateLevel::kFull);
  EXPECT_EQ(gate.check("a id=12 b id=345").text, "a id=[REDACTED] b id=[REDACTED]");
}

TEST(RuleGate, FindingsThatOverlapAreRedactedOnce) {
  RuleSet set = one_rule("abcd");
  set.rules.push_back({.name = "second", .kind = RuleKind::kPersonal, .pattern = "cdef"});
  EXPECT_EQ(RuleGate(set, GateLevel::kFull).check("xabcdefx").text, "x[REDACTED]x");
}

TEST(RuleGate, AnExemptionTakesAMatchOut) {
  RuleSet set = one_rule("[0-9]{4}");
  set.exemptions.push_back({.pattern = "^0000$"});
  EXPECT_EQ(RuleGate(set, GateLevel::kFull).check("0000 1234").text, "0000 [REDACTED]");
  set.exemptions[0].rules = {"another"};
  EXPECT_EQ(RuleGate(set, GateLevel::kFull).check("0000 1234").text, "[REDACTED] [REDACTED]");
}

TEST(RuleGate, ABrokenPatternIsNamed) {
  const RuleGate gate(one_rule("a(b"), GateLevel::kFull);
  EXPECT_THAT(message_of<InvalidArgument>([&] { gate.check("ab"); }), HasSubstr("\"own\""));
  RuleSet set = one_rule("a");
  set.rules[0].check = "magic";
  EXPECT_THAT(message_of<InvalidArgument>([&] { RuleGate(set, GateLevel::kFull); }),
              HasSubstr("magic"));
}

TEST(RuleGate, TheVersionTellsRulesAndLevelsApart) {
  const RuleGate a(one_rule("a"), GateLevel::kFull);
  EXPECT_EQ(a.rules_version(), RuleGate(one_rule("a"), GateLevel::kFull).rules_version());
  EXPECT_NE(a.rules_version(), RuleGate(one_rule("b"), GateLevel::kFull).rules_version());
  EXPECT_NE(a.rules_version(),
            RuleGate(one_rule("a", GateAction::kBlock), GateLevel::kFull).rules_version());
  EXPECT_NE(a.rules_version(), RuleGate(one_rule("a"), GateLevel::kSecrets).rules_version());
}

TEST(RuleGate, LongLinesAndBytesOfAllKindsDoNotStopIt) {
  std::string text(200'000, 'a');
  for (std::size_t i = 0; i < text.size(); i += 7) text[i] = static_cast<char>('0' + i % 10);
  text += " " + kAwsKey + " ";
  for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  const GateDecision decision = builtin_gate(GateLevel::kSecrets)->check(text);
  EXPECT_EQ(decision.action, GateAction::kRedact);
  EXPECT_EQ(decision.text.find(kAwsKey), std::string::npos);
}

TEST(BuiltinRules, CompileAndNameEachOther) {
  std::vector<std::string> names;
  for (const Rule& rule : builtin_rules().rules) {
    EXPECT_FALSE(pattern_error(rule.pattern)) << rule.name;
    EXPECT_FALSE(pattern_error(rule.trigger)) << rule.name;
    EXPECT_FALSE(rule.about.empty()) << rule.name;
    EXPECT_EQ(std::ranges::count(names, rule.name), 0) << rule.name;
    names.push_back(rule.name);
  }
}

TEST(BuiltinRules, EveryTriggerIsInWhatItsPatternFinds) {
  // A rule whose trigger misses a text would never be looked for in it.
  RuleSet without;
  for (Rule rule : builtin_rules().rules) {
    rule.trigger.clear();
    without.rules.push_back(rule);
  }
  const RuleGate plain(without, GateLevel::kFull);
  const auto gate = builtin_gate(GateLevel::kFull);
  for (const LabelledCase& one : labelled_cases()) {
    EXPECT_EQ(plain.check(one.text).reasons, gate->check(one.text).reasons) << one.text;
  }
}

TEST(Checks, Luhn) {
  EXPECT_TRUE(luhn_valid("4111111111111111"));
  EXPECT_FALSE(luhn_valid("4111111111111112"));
  EXPECT_FALSE(luhn_valid(""));
}

TEST(Checks, Iban) {
  EXPECT_TRUE(iban_valid("DE89370400440532013000"));
  EXPECT_FALSE(iban_valid("DE88370400440532013000"));
  EXPECT_FALSE(iban_valid("DE8937040044053201300"));
  EXPECT_FALSE(iban_valid("XX89370400440532013000"));
}

TEST(Names, OfLevelsKindsAndActionsAreThoseOfTheDocuments) {
  EXPECT_EQ(gate_level_of("secrets"), GateLevel::kSecrets);
  EXPECT_EQ(rule_kind_of("licence"), RuleKind::kLicence);
  EXPECT_EQ(gate_action_of("quarantine"), GateAction::kQuarantine);
  EXPECT_THAT(message_of<InvalidArgument>([] { gate_action_of("shout"); }), HasSubstr("redact"));
}

}  // namespace
}  // namespace nearlite
