#include "nearlite/governance/gate.h"

#include <gtest/gtest.h>

namespace nearlite {
namespace {

TEST(PassAllGate, LetsEveryTextPassUnchanged) {
  const PassAllGate gate;
  const GateDecision decision = gate.check("password = hunter2");
  EXPECT_EQ(decision.action, GateAction::kAllow);
  EXPECT_TRUE(decision.reasons.empty());
  EXPECT_FALSE(gate.rules_version().empty());
}

TEST(GateAction, HasTheNamesOfTheInterface) {
  EXPECT_EQ(gate_action_name(GateAction::kAllow), "allow");
  EXPECT_EQ(gate_action_name(GateAction::kRedact), "redact");
  EXPECT_EQ(gate_action_name(GateAction::kQuarantine), "quarantine");
  EXPECT_EQ(gate_action_name(GateAction::kBlock), "block");
}

}  // namespace
}  // namespace nearlite
