#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/governance/gate.h"

namespace nearlite {

/// How much of a rule set is enforced for a store.
enum class GateLevel {
  kFull,     // every rule does what it says
  kSecrets,  // rules of the kind secret do; the others only report
  kOff,      // nothing is looked at
};
/// "full", "secrets", "off"
std::string_view gate_level_name(GateLevel level);
/// Throws InvalidArgument that lists them.
GateLevel gate_level_of(std::string_view name);

/// "licence", "secret", "personal", "risk"
std::string_view rule_kind_name(RuleKind kind);
/// Throws InvalidArgument that lists them.
RuleKind rule_kind_of(std::string_view name);
/// The action of that name; throws InvalidArgument that lists them.
GateAction gate_action_of(std::string_view name);

/// What to look for and what to do about it.
struct Rule {
  std::string name{};
  RuleKind kind = RuleKind::kSecret;
  GateAction action = GateAction::kRedact;
  std::string pattern{};  // RE2; group 1, if there is one, is the part that counts
  // A cheaper pattern that every text with a finding holds too: only texts with it are searched
  // for `pattern`. Empty: the pattern itself.
  std::string trigger{};
  std::string check{};  // one of check_names(): decides about each match; empty: each counts
  std::string about{};
};

/// Matches of `pattern` that are no findings of `rules` (empty: of none).
struct Exemption {
  std::string pattern{};
  std::vector<std::string> rules{};
};

/// The rules of a store as data.
struct RuleSet {
  std::vector<Rule> rules{};  // the more specific first: a finding inside an earlier one is dropped
  std::vector<Exemption> exemptions{};
};

/// The set that is used where there is no governance.toml (docs/guides/governance.md).
const RuleSet& builtin_rules();

/// The names that Rule::check may have: luhn, iban, phone, entropy, ...
std::vector<std::string> check_names();

/// Why RE2 does not take the pattern, or nothing if it does.
std::optional<std::string> pattern_error(const std::string& pattern);

/// 16 hex digits that differ when any rule differs.
std::string rules_digest(const RuleSet& rules);

}  // namespace nearlite
