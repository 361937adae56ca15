#pragma once

#include <filesystem>
#include <string_view>

#include "nearlite/governance/rules.h"

namespace nearlite {

/// The rules that hold somewhere, and the file they come from (empty: the built-in set).
struct RulesInForce {
  RuleSet rules{};
  std::filesystem::path file{};
};

/// Reads a governance.toml (docs/guides/governance.md): the built-in set with its actions changed,
/// and rules of its own. Throws InvalidArgument with file, line and column: wrong syntax, unknown
/// keys, rules, kinds, actions and checks (with the nearest known one), a pattern that RE2 does not
/// take, by the name of its rule; NotFound if there is no such file.
RuleSet read_rules(const std::filesystem::path& file);
/// As read_rules, of text; `file` stands in messages.
RuleSet parse_rules(std::string_view text, const std::filesystem::path& file);

/// governance.toml of the sidecar folder, else of the data folder, else the built-in set.
/// Throws as read_rules.
RulesInForce rules_in_force(const std::filesystem::path& sidecar_folder,
                            const std::filesystem::path& data_folder);

}  // namespace nearlite
