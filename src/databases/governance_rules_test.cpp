#include "nearlite/databases/governance_rules.h"

#include <gmock/gmock.h>

#include <fstream>

#include "nearlite/base/error.h"
#include "nearlite/governance/rule_gate.h"
#include "nearlite_test/message_of.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

using testing::AllOf;
using testing::HasSubstr;

GateDecision checked(const std::string& toml, const std::string& text) {
  return RuleGate(parse_rules(toml, "governance.toml"), GateLevel::kFull).check(text);
}

std::string refusal(const std::string& toml) {
  return message_of<InvalidArgument>([&] { parse_rules(toml, "governance.toml"); });
}

TEST(GovernanceRules, AnEmptyFileIsTheBuiltInSet) {
  EXPECT_EQ(rules_digest(parse_rules("", "governance.toml")), rules_digest(builtin_rules()));
}

TEST(GovernanceRules, ActionsOfKindsAndRulesAreChanged) {
  const std::string toml =
      "[kinds]\npersonal = \"allow\"\nrisk = \"block\"\n[actions]\niban = \"quarantine\"\n";
  EXPECT_EQ(checked(toml, "bob@example.com").action, GateAction::kAllow);
  EXPECT_EQ(checked(toml, "eval(data)").action, GateAction::kBlock);
  EXPECT_EQ(checked(toml, "DE89370400440532013000").action, GateAction::kQuarantine);
}

TEST(GovernanceRules, ARuleOfOnesOwnStandsBesideThem) {
  const std::string toml =
      "[[rule]]\nname = \"staff\"\nkind = \"personal\"\npattern = 'staff no ([0-9]{6})'\naction = "
      "\"block\"\n";
  const GateDecision decision = checked(toml, "staff no 123456");
  EXPECT_EQ(decision.action, GateAction::kBlock);
  EXPECT_EQ(decision.findings.at(0).rule, "staff");
  EXPECT_EQ(checked(toml, "bob@example.com").action, GateAction::kRedact);
}

TEST(GovernanceRules, WithoutTheBuiltInOnesOnlyTheOwnCount) {
  const std::string toml =
      "builtin = false\n[[rule]]\nname = \"x\"\nkind = \"secret\"\npattern = 'x[0-9]+'\n";
  EXPECT_EQ(checked(toml, "bob@example.com").action, GateAction::kAllow);
  EXPECT_EQ(checked(toml, "x12").text, "[REDACTED]");
}

TEST(GovernanceRules, ARuleWithTheNameOfABuiltInOneReplacesIt) {
  const std::string toml =
      "[[rule]]\nname = \"mail-address\"\nkind = \"personal\"\npattern = '[a-z]+@own\\.example'\n";
  EXPECT_EQ(checked(toml, "bob@example.com").action, GateAction::kAllow);
  EXPECT_EQ(checked(toml, "bob@own.example").action, GateAction::kRedact);
}

TEST(GovernanceRules, ExemptMatchesAreNoFindings) {
  const std::string toml = "[[exempt]]\npattern = '@example\\.com$'\nrules = [\"mail-address\"]\n";
  EXPECT_EQ(checked(toml, "bob@example.com").action, GateAction::kAllow);
  EXPECT_EQ(checked(toml, "bob@example.org").action, GateAction::kRedact);
}

TEST(GovernanceRules, MistakesAreRefusedByLineAndName) {
  EXPECT_THAT(refusal("[kinds]\nperson = \"allow\"\n"),
              AllOf(HasSubstr("governance.toml:2:"), HasSubstr("personal")));
  EXPECT_THAT(refusal("\n[actions]\nmail-adress = \"allow\"\n"),
              AllOf(HasSubstr("governance.toml:3:"), HasSubstr("mail-address")));
  EXPECT_THAT(refusal("[kinds]\nrisk = \"shout\"\n"),
              AllOf(HasSubstr(":2:"), HasSubstr("quarantine")));
  EXPECT_THAT(refusal("[[rule]]\nname = \"r\"\nkind = \"secret\"\npattern = 'a(b'\n"),
              AllOf(HasSubstr(":4:"), HasSubstr("\"r\"")));
  EXPECT_THAT(
      refusal("[[rule]]\nname = \"r\"\nkind = \"secret\"\npattern = 'a'\ncheck = \"magic\"\n"),
      AllOf(HasSubstr(":5:"), HasSubstr("luhn")));
  EXPECT_THAT(refusal("[[rule]]\nname = \"r\"\nkind = \"secret\"\n"), HasSubstr("pattern"));
  EXPECT_THAT(refusal("[[rule]]\nname = 1\nkind = \"secret\"\npattern = 'a'\n"), HasSubstr(":2:"));
  EXPECT_THAT(refusal("[[rule]\n"), HasSubstr("governance.toml:1:"));
  EXPECT_THAT(refusal("colour = 1\n"), HasSubstr("unknown key \"colour\""));
  const std::string rule = "[[rule]]\nname = \"r\"\nkind = \"secret\"\npattern = 'a'\n";
  EXPECT_THAT(refusal(rule + rule), HasSubstr("twice"));
}

TEST(GovernanceRules, TheFileOfTheSidecarFolderComesFirst) {
  const TemporaryFolder folder;
  const auto sidecar = folder.path() / "app.db.nearlite";
  std::filesystem::create_directory(sidecar);
  EXPECT_TRUE(rules_in_force(sidecar, folder.path()).file.empty());
  std::ofstream(folder.path() / "governance.toml") << "[kinds]\nrisk = \"allow\"\n";
  EXPECT_EQ(rules_in_force(sidecar, folder.path()).file, folder.path() / "governance.toml");
  std::ofstream(sidecar / "governance.toml") << "builtin = false\n";
  const RulesInForce own = rules_in_force(sidecar, folder.path());
  EXPECT_EQ(own.file, sidecar / "governance.toml");
  EXPECT_TRUE(own.rules.rules.empty());
}

}  // namespace
}  // namespace nearlite
