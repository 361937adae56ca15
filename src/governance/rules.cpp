#include "nearlite/governance/rules.h"

#include <re2/re2.h>

#include <array>
#include <cstdio>
#include <utility>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "rule_checks.h"

namespace nearlite {
namespace {

template <typename T, std::size_t N>
using Names = std::array<std::pair<T, std::string_view>, N>;

constexpr Names<GateLevel, 3> kLevels = {
    {{GateLevel::kFull, "full"}, {GateLevel::kSecrets, "secrets"}, {GateLevel::kOff, "off"}}};
constexpr Names<RuleKind, 4> kKinds = {{{RuleKind::kLicence, "licence"},
                                        {RuleKind::kSecret, "secret"},
                                        {RuleKind::kPersonal, "personal"},
                                        {RuleKind::kRisk, "risk"}}};
constexpr std::array kActions = {GateAction::kAllow, GateAction::kRedact, GateAction::kQuarantine,
                                 GateAction::kBlock};

template <typename T, std::size_t N>
std::string_view name_in(const Names<T, N>& names, T value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return names[0].second;
}

[[noreturn]] void throw_unknown(std::string_view what, std::string_view name,
                                const std::vector<std::string>& known) {
  throw InvalidArgument(std::string(what) + " \"" + std::string(name) +
                        "\" is unknown; known: " + join_names(known));
}

template <typename T, std::size_t N>
T value_in(const Names<T, N>& names, std::string_view wanted, std::string_view what) {
  std::vector<std::string> known;
  for (const auto& [value, name] : names) {
    if (name == wanted) return value;
    known.emplace_back(name);
  }
  throw_unknown(what, wanted, known);
}

}  // namespace

std::string_view gate_level_name(GateLevel level) { return name_in(kLevels, level); }
GateLevel gate_level_of(std::string_view name) { return value_in(kLevels, name, "level"); }
std::string_view rule_kind_name(RuleKind kind) { return name_in(kKinds, kind); }
RuleKind rule_kind_of(std::string_view name) { return value_in(kKinds, name, "kind"); }

GateAction gate_action_of(std::string_view name) {
  std::vector<std::string> known;
  for (const GateAction action : kActions) {
    if (gate_action_name(action) == name) return action;
    known.emplace_back(gate_action_name(action));
  }
  throw_unknown("action", name, known);
}

std::vector<std::string> check_names() {
  std::vector<std::string> names;
  for (const NamedCheck& check : all_checks()) names.emplace_back(check.name);
  return names;
}

std::optional<std::string> pattern_error(const std::string& pattern) {
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 compiled(pattern, options);
  if (!compiled.ok()) return compiled.error();
  if (RE2::FullMatch("", compiled)) return "it matches the empty text";
  return std::nullopt;
}

std::string rules_digest(const RuleSet& rules) {
  std::string all;
  const auto add = [&](std::string_view part) {
    all.append(part);
    all.push_back('\0');
  };
  for (const Rule& rule : rules.rules) {
    for (const std::string_view part :
         {std::string_view(rule.name), rule_kind_name(rule.kind), gate_action_name(rule.action),
          std::string_view(rule.pattern), std::string_view(rule.trigger),
          std::string_view(rule.check)}) {
      add(part);
    }
  }
  for (const Exemption& exemption : rules.exemptions) {
    add(exemption.pattern);
    for (const std::string& rule : exemption.rules) add(rule);
  }
  add(kChecksVersion);
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(xxh3_64(all)));
  return hex;
}

}  // namespace nearlite
