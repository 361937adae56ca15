#include "nearlite/databases/governance_rules.h"

#include <algorithm>
#include <optional>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "toml_source.h"

namespace nearlite {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{4} << 20;
constexpr std::size_t kMaxRules = 2'000;
constexpr char kFileName[] = "governance.toml";

class RulesReader : private TomlSource {
 public:
  using TomlSource::TomlSource;

  RuleSet read(std::string_view text) {
    const toml::table root = parse(text);
    check_keys(root, {"builtin", "kinds", "actions", "rule", "exempt"}, "");
    if (const toml::node* node = root.get("builtin")) {
      const auto* value = node->as_boolean();
      if (value == nullptr) fail(*node, "\"builtin\" must be true or false");
      if (!value->get()) set_ = {};
    }
    // A file's own rules stand before the built-in ones: they are the more specific.
    read_rules_of(root);
    read_kinds(root);
    read_actions(root);
    read_exemptions(root);
    return std::move(set_);
  }

 private:
  std::string string_of(const toml::node& node, const std::string& name) const {
    const auto* value = node.as_string();
    if (value == nullptr || value->get().empty()) fail(node, "\"" + name + "\" must be a text");
    if (value->get().find('\0') != std::string::npos)
      fail(node, "\"" + name + "\" holds a NUL character");
    return value->get();
  }

  std::string string_in(const toml::table& table, const std::string& key) const {
    const toml::node* node = table.get(key);
    return node == nullptr ? std::string() : string_of(*node, key);
  }

  /// Calls a function that refuses unknown names, and adds the place.
  template <typename Reader>
  auto named(const toml::node& node, const std::string& key, Reader reader) const {
    try {
      return reader(string_of(node, key));
    } catch (const InvalidArgument& error) {
      if (std::string_view(error.what()).starts_with(file().string())) throw;
      fail(node, error.what());
    }
  }

  const toml::table* section(const toml::table& root, const std::string& name) const {
    const toml::node* node = root.get(name);
    return node == nullptr ? nullptr : &table_of(*node, name);
  }

  /// The sections [[name]].
  std::vector<const toml::table*> sections(const toml::table& root, const std::string& name) const {
    std::vector<const toml::table*> tables;
    const toml::node* node = root.get(name);
    if (node == nullptr) return tables;
    const toml::array* array = node->as_array();
    if (array == nullptr) fail(*node, "\"" + name + "\" must be sections, [[" + name + "]]");
    if (array->size() > kMaxRules) {
      fail(*node, std::to_string(array->size()) + " sections [[" + name + "]], at most " +
                      std::to_string(kMaxRules) + " are taken");
    }
    for (const toml::node& item : *array) {
      if (item.as_table() == nullptr)
        fail(item, "\"" + name + "\" must be sections, [[" + name + "]]");
      tables.push_back(item.as_table());
    }
    return tables;
  }

  void check_pattern(const toml::table& table, const std::string& key,
                     const std::string& owner) const {
    const std::string pattern = string_in(table, key);
    if (pattern.empty()) return;
    if (const auto error = pattern_error(pattern)) {
      fail(*table.get(key), "the " + key + " of " + owner + " is not understood: " + *error);
    }
  }

  void read_rules_of(const toml::table& root) {
    std::vector<Rule> own;
    for (const toml::table* table : sections(root, "rule")) {
      Rule rule = rule_of(*table);
      const auto same_name = [&](const Rule& other) { return other.name == rule.name; };
      if (std::ranges::any_of(own, same_name))
        fail(*table, "the rule \"" + rule.name + "\" stands here twice");
      // A rule with the name of a built-in one replaces it.
      std::erase_if(set_.rules, same_name);
      own.push_back(std::move(rule));
    }
    set_.rules.insert(set_.rules.begin(), own.begin(), own.end());
  }

  Rule rule_of(const toml::table& table) const {
    check_keys(table, {"name", "kind", "action", "pattern", "trigger", "check", "about"},
               " in [[rule]]");
    for (const char* needed : {"name", "kind", "pattern"}) {
      if (!table.contains(needed))
        fail(table, std::string("[[rule]] needs ") + needed + " = \"...\"");
    }
    Rule rule;
    rule.name = string_in(table, "name");
    const std::string owner = "the rule \"" + rule.name + "\"";
    rule.kind = named(*table.get("kind"), "kind", rule_kind_of);
    rule.action = default_action(rule.kind);
    if (const toml::node* action = table.get("action"))
      rule.action = named(*action, "action", gate_action_of);
    check_pattern(table, "pattern", owner);
    check_pattern(table, "trigger", owner);
    rule.pattern = string_in(table, "pattern");
    rule.trigger = string_in(table, "trigger");
    rule.check = string_in(table, "check");
    rule.about = string_in(table, "about");
    const auto checks = check_names();
    if (!rule.check.empty() && std::ranges::find(checks, rule.check) == checks.end()) {
      fail(*table.get("check"), owner + " names the check \"" + rule.check +
                                    "\", which there is not; known: " + join_names(checks));
    }
    return rule;
  }

  static GateAction default_action(RuleKind kind) {
    switch (kind) {
      case RuleKind::kLicence:
        return GateAction::kBlock;
      case RuleKind::kRisk:
        return GateAction::kQuarantine;
      case RuleKind::kSecret:
      case RuleKind::kPersonal:
        break;
    }
    return GateAction::kRedact;
  }

  void read_kinds(const toml::table& root) {
    const toml::table* kinds = section(root, "kinds");
    if (kinds == nullptr) return;
    check_keys(*kinds, {"licence", "secret", "personal", "risk"}, " in [kinds]");
    for (auto&& [key, node] : *kinds) {
      const RuleKind kind = rule_kind_of(key.str());
      const GateAction action = named(node, std::string(key.str()), gate_action_of);
      for (Rule& rule : set_.rules) {
        if (rule.kind == kind) rule.action = action;
      }
    }
  }

  void read_actions(const toml::table& root) {
    const toml::table* actions = section(root, "actions");
    if (actions == nullptr) return;
    for (auto&& [key, node] : *actions) {
      const std::string name(key.str());
      rule_named(name, key.source().begin).action = named(node, name, gate_action_of);
    }
  }

  Rule& rule_named(const std::string& name, const toml::source_position& at) {
    const auto found = std::ranges::find(set_.rules, name, &Rule::name);
    if (found != set_.rules.end()) return *found;
    std::vector<std::string> known;
    for (const Rule& rule : set_.rules) known.push_back(rule.name);
    const auto near = nearest_name(name, known);
    fail_at(at, "there is no rule \"" + name + "\"" +
                    (near ? "; did you mean \"" + *near + "\"?"
                          : ". nearlite governance rules lists them"));
  }

  void read_exemptions(const toml::table& root) {
    for (const toml::table* table : sections(root, "exempt")) {
      check_keys(*table, {"pattern", "rules"}, " in [[exempt]]");
      if (!table->contains("pattern")) fail(*table, "[[exempt]] needs pattern = \"...\"");
      check_pattern(*table, "pattern", "[[exempt]]");
      Exemption exemption{.pattern = string_in(*table, "pattern")};
      if (const toml::node* node = table->get("rules")) {
        const toml::array* names = node->as_array();
        if (names == nullptr) fail(*node, "\"rules\" must be a list of rule names");
        for (const toml::node& name : *names) {
          exemption.rules.push_back(rule_named(string_of(name, "rules"), name.source().begin).name);
        }
      }
      set_.exemptions.push_back(std::move(exemption));
    }
  }

  RuleSet set_ = builtin_rules();
};

}  // namespace

RuleSet parse_rules(std::string_view text, const std::filesystem::path& file) {
  return RulesReader(file).read(text);
}

RuleSet read_rules(const std::filesystem::path& file) {
  return parse_rules(read_file(file, kMaxFileBytes), file);
}

RulesInForce rules_in_force(const std::filesystem::path& sidecar_folder,
                            const std::filesystem::path& data_folder) {
  for (const std::filesystem::path& folder : {sidecar_folder, data_folder}) {
    if (folder.empty()) continue;
    const std::filesystem::path file = folder / kFileName;
    if (stamp_of(file)) return {read_rules(file), file};
  }
  return {builtin_rules(), {}};
}

}  // namespace nearlite
