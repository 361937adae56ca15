#include <CLI/CLI.hpp>
#include <map>

#include "../command_line.h"
#include "../record_key.h"
#include "../store_selection.h"
#include "../text_input.h"
#include "nearlite/base/error.h"
#include "nearlite/databases/governance_rules.h"
#include "nearlite/databases/sidecar_folder.h"
#include "nearlite/governance/rule_gate.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::cli {
namespace {

constexpr std::size_t kRecordsShown = 20;

struct GovernanceArguments {
  StoreArguments stores;
  std::string input = "-";
  std::string level;
  std::string rules_file;
  bool whole = false;
  std::vector<std::string> positionals;  // [DB]... KEY
};

std::string text_of(const GateFinding& finding) {
  std::string text =
      finding.rule + " at " + std::to_string(finding.start) + "-" + std::to_string(finding.end);
  if (finding.action == GateAction::kAllow) text += " (reported only)";
  return text;
}

std::string text_of(std::span<const GateFinding> findings) {
  std::string text;
  for (const GateFinding& finding : findings) text += (text.empty() ? "" : ", ") + text_of(finding);
  return text;
}

Json json_of(std::span<const GateFinding> findings) {
  Json list = Json::array();
  for (const GateFinding& finding : findings) {
    list.push_back({{"rule", finding.rule},
                    {"kind", rule_kind_name(finding.kind)},
                    {"start", finding.start},
                    {"end", finding.end},
                    {"action", gate_action_name(finding.action)}});
  }
  return list;
}

// --- check

/// The gate that was asked for: of a store, else the rules of the data folder with a level.
std::shared_ptr<const Gate> gate_for(Context& context, const GovernanceArguments& arguments) {
  if (!arguments.stores.empty()) {
    const auto selected = select_stores(context, arguments.stores, store_settings(context));
    if (selected.size() != 1) {
      throw InvalidArgument(std::to_string(selected.size()) + " stores were named, one is needed");
    }
    return selected.front().registry->gate_of(selected.front().entry);
  }
  const RuleSet rules = arguments.rules_file.empty()
                            ? rules_in_force({}, context.data_folder()).rules
                            : read_rules(arguments.rules_file);
  return std::make_shared<RuleGate>(
      rules, arguments.level.empty() ? GateLevel::kFull : gate_level_of(arguments.level));
}

std::string everything_in(const std::string& input) {
  LineReader reader(input);
  std::string all;
  for (std::string line; reader.next(line);) all += line + "\n";
  return all;
}

int check(Context& context, const GovernanceArguments& arguments) {
  if (!arguments.level.empty() && !arguments.stores.empty())
    throw InvalidArgument("--level and --db exclude each other: a store has a level of its own");
  const auto gate = gate_for(context, arguments);
  std::size_t number = 0;
  const auto put = [&](std::string_view text) {
    ++number;
    const GateDecision decision = gate->check(text);
    if (context.machine_form()) {
      context.put_json({{"decision", gate_action_name(decision.action)},
                        {"findings", json_of(decision.findings)}});
      return;
    }
    const std::string found = text_of(decision.findings);
    context.out.line(std::to_string(number) + ": " +
                     std::string(gate_action_name(decision.action)) +
                     (found.empty() ? "" : ": " + printable(found)));
  };
  if (arguments.whole) {
    put(everything_in(arguments.input));
    return 0;
  }
  TextReader reader(arguments.input);
  for (std::string text; reader.next(text);) put(text);
  return 0;
}

// --- scan

struct RuleCount {
  std::string kind;
  std::size_t rows = 0;
  std::size_t findings = 0;
};

struct StoreScan {
  std::string store;
  std::string level;
  std::string rules_version;
  std::size_t rows = 0;
  std::map<GateAction, std::size_t> decisions;
  std::size_t released = 0;
  std::map<std::string, RuleCount> rules;
  std::vector<GovernedRecord> records;  // with findings
  std::optional<StoreFailure> failure;

  void count(const GovernedRecord& record) {
    ++rows;
    ++decisions[record.decision.action];
    if (record.released && record.decision.action == GateAction::kQuarantine) ++released;
    std::string last;
    for (const GateFinding& finding : record.decision.findings) {
      RuleCount& rule = rules[finding.rule];
      rule.kind = rule_kind_name(finding.kind);
      ++rule.findings;
      if (finding.rule != last) ++rule.rows;
      last = finding.rule;
    }
    if (!record.decision.findings.empty()) {
      records.push_back(record);
      records.back().decision.text.clear();
    }
  }
};

Json json_of(const GovernedRecord& record) {
  Json json = {{"key", nearlite::json_of(record.key)},
               {"decision", gate_action_name(record.decision.action)},
               {"findings", json_of(record.decision.findings)}};
  if (record.decision.action == GateAction::kQuarantine) json["released"] = record.released;
  return json;
}

Json json_of(const StoreScan& scan) {
  Json json = {{"store", scan.store}};
  if (scan.failure) {
    json["error"] = nearlite::json_of(*scan.failure, Audience::kOwner);
    return json;
  }
  json["level"] = scan.level;
  json["rules_version"] = scan.rules_version;
  json["rows"] = scan.rows;
  for (const GateAction action :
       {GateAction::kAllow, GateAction::kRedact, GateAction::kQuarantine, GateAction::kBlock}) {
    const auto found = scan.decisions.find(action);
    json[std::string(gate_action_name(action))] = found == scan.decisions.end() ? 0 : found->second;
  }
  json["released"] = scan.released;
  Json& rules = json["rules"] = Json::array();
  for (const auto& [name, rule] : scan.rules) {
    rules.push_back(
        {{"rule", name}, {"kind", rule.kind}, {"rows", rule.rows}, {"findings", rule.findings}});
  }
  Json& records = json["records"] = Json::array();
  for (const GovernedRecord& record : scan.records) records.push_back(json_of(record));
  return json;
}

void put_text(Context& context, const StoreScan& scan) {
  const auto decided = [&](GateAction action) {
    const auto found = scan.decisions.find(action);
    return found == scan.decisions.end() ? std::size_t{0} : found->second;
  };
  context.out.line(printable(scan.store) + " (" + scan.level + "): " + with_separators(scan.rows) +
                   " texts: allow " + with_separators(decided(GateAction::kAllow)) + ", redact " +
                   with_separators(decided(GateAction::kRedact)) + ", quarantine " +
                   with_separators(decided(GateAction::kQuarantine)) +
                   (scan.released > 0 ? " (" + with_separators(scan.released) + " released)" : "") +
                   ", block " + with_separators(decided(GateAction::kBlock)));
  for (const auto& [name, rule] : scan.rules) {
    context.out.line("  " + name + " (" + rule.kind + "): " + with_separators(rule.findings) +
                     " in " + with_separators(rule.rows) + (rule.rows == 1 ? " text" : " texts"));
  }
  std::size_t shown = 0;
  for (const GovernedRecord& record : scan.records) {
    if (record.decision.action == GateAction::kAllow || ++shown > kRecordsShown) continue;
    context.out.line("  " + printable(record.key.display()) + ": " +
                     std::string(gate_action_name(record.decision.action)) +
                     (record.released ? " (released)" : "") + ": " +
                     printable(text_of(record.decision.findings)));
  }
  if (shown > kRecordsShown) {
    context.out.line("  and " + with_separators(shown - kRecordsShown) +
                     " more; --jsonl lists all");
  }
}

int scan(Context& context, const GovernanceArguments& arguments) {
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (selected.empty()) context.note("there is no store in " + context.data_folder().string());
  Json list = Json::array();
  int exit_code = 0;
  for (const SelectedStore& store : selected) {
    StoreScan scan;
    scan.store = store.entry.name;
    try {
      scan.level = gate_level_name(store.registry->governance_level(store.entry));
      const auto opened = store.open();
      scan.rules_version = opened->options().gate->rules_version();
      opened->scan_governance([&](const GovernedRecord& record) { scan.count(record); });
    } catch (const std::exception&) {
      scan.failure = failure_in_flight(store.entry.name);
      context.warn(store.entry.name + ": " + scan.failure->message +
                   (scan.failure->hint.empty() ? "" : "; " + scan.failure->hint));
      exit_code = selected.size() == 1 ? scan.failure->exit_code : 5;
    }
    if (context.options.json) {
      list.push_back(json_of(scan));
    } else if (context.options.jsonl) {
      for (const GovernedRecord& record : scan.records) {
        Json line = {{"store", scan.store}};
        line.update(json_of(record));
        context.put_json(line);
      }
    } else if (!scan.failure) {
      put_text(context, scan);
    }
  }
  if (context.options.json) context.put_json({{"stores", list}});
  return exit_code;
}

// --- rules

int rules(Context& context, const GovernanceArguments& arguments) {
  RulesInForce in_force;
  if (!arguments.rules_file.empty()) {
    in_force = {read_rules(arguments.rules_file), arguments.rules_file};
  } else {
    std::filesystem::path sidecar = arguments.stores.sidecar;
    if (!arguments.stores.files.empty()) {
      if (arguments.stores.files.size() > 1)
        throw InvalidArgument("rules: one database file is enough");
      sidecar = find_sidecar_folder(arguments.stores.files.front(),
                                    sidecar.empty() ? std::nullopt : std::optional(sidecar));
    }
    in_force = rules_in_force(sidecar, context.data_folder());
  }
  if (context.options.json) {
    Json list = Json::array();
    for (const Rule& rule : in_force.rules.rules) {
      list.push_back({{"name", rule.name},
                      {"kind", rule_kind_name(rule.kind)},
                      {"action", gate_action_name(rule.action)},
                      {"pattern", rule.pattern},
                      {"check", rule.check.empty() ? Json(nullptr) : Json(rule.check)},
                      {"about", rule.about}});
    }
    context.put_json(
        {{"file", in_force.file.empty() ? Json(nullptr) : Json(in_force.file.string())},
         {"version", rules_digest(in_force.rules)},
         {"rules", list}});
    return 0;
  }
  TextTable table;
  for (const char* title : {"RULE", "KIND", "ACTION", "FINDS"}) table.column(title);
  for (const Rule& rule : in_force.rules.rules) {
    if (context.options.jsonl) {
      context.put_json({{"name", rule.name},
                        {"kind", rule_kind_name(rule.kind)},
                        {"action", gate_action_name(rule.action)},
                        {"about", rule.about}});
    } else {
      table.row({printable(rule.name), std::string(rule_kind_name(rule.kind)),
                 std::string(gate_action_name(rule.action)), printable(rule.about)});
    }
  }
  if (context.options.jsonl) return 0;
  context.out.write(table.text());
  context.out.flush();
  context.note(in_force.file.empty()
                   ? "the built-in set; a governance.toml in the data folder or beside "
                     "the index changes it"
                   : "from " + in_force.file.string());
  return 0;
}

// --- release

int release(Context& context, const GovernanceArguments& arguments) {
  if (arguments.positionals.empty())
    throw InvalidArgument("no key given", "nearlite governance scan lists what is in quarantine");
  StoreArguments asked = arguments.stores;
  asked.files.assign(arguments.positionals.begin(), arguments.positionals.end() - 1);
  const std::string& typed = arguments.positionals.back();
  const auto selected = select_stores(context, asked, store_settings(context));
  if (selected.size() != 1) {
    std::vector<std::string> names;
    for (const SelectedStore& store : selected) names.push_back(store.entry.name);
    throw InvalidArgument("release needs one store, and there are " + std::to_string(names.size()),
                          "name it with --db STORE");
  }
  const auto store = selected.front().open();
  const RecordKey key = existing_key(*store, typed);
  store->release_from_quarantine(key);
  if (context.machine_form()) {
    context.put_json(
        {{"store", store->name()}, {"key", nearlite::json_of(key)}, {"released", true}});
  } else {
    context.out.line(printable(store->name()) + ": " + printable(key.display()) + " is released");
  }
  context.note(selected.front().refresh_command(context) + " embeds it");
  return 0;
}

CLI::App& add_part(CLI::App& parent, const char* name, const char* description,
                   const char* examples, Context& context, Action& action,
                   const std::shared_ptr<GovernanceArguments>& arguments,
                   int (*function)(Context&, const GovernanceArguments&)) {
  CLI::App& command = add_command(parent, name, description, examples);
  command.callback([arguments, &context, &action, function] {
    action = [arguments, &context, function] { return function(context, *arguments); };
  });
  return command;
}

}  // namespace

void add_governance_command(CLI::App& app, Context& context, Action& action) {
  CLI::App& governance = add_command(
      app, "governance", "What must not be embedded: licence, secrets, personal data, risk",
      "  nearlite governance check notes.txt\n"
      "  nearlite governance scan app.db\n"
      "  nearlite governance release --db notes 17");
  governance.require_subcommand(0, 1);
  governance.callback([&action] {
    if (!action)
      action = []() -> int {
        throw InvalidArgument("governance: which command?", "check, scan, rules or release");
      };
  });
  auto arguments = std::make_shared<GovernanceArguments>();
  CLI::App& checks = add_part(
      governance, "check", "What the gate would do with each line of a file; nothing is embedded",
      "  echo \"call me at +1 415 555 2671\" | nearlite governance check -", context, action,
      arguments, &check);
  checks.add_option("FILE", arguments->input, "Texts, one per line (default -: stdin)");
  add_choice(checks, "--level", arguments->level, {"full", "secrets", "off"},
             "Which rules act (default full; a store's own with --db)");
  checks.add_option("--rules", arguments->rules_file, "A governance.toml to try")
      ->type_name("FILE");
  checks.add_flag("--whole", arguments->whole, "The whole file is one text");
  add_store_options(checks, arguments->stores);
  CLI::App& scans =
      add_part(governance, "scan", "What the gate would do with the rows of each store",
               "  nearlite governance scan app.db\n  nearlite governance scan --db bot --jsonl",
               context, action, arguments, &scan);
  add_store_arguments(scans, arguments->stores);
  CLI::App& lists = add_part(governance, "rules", "The rules in force and what they do", "",
                             context, action, arguments, &rules);
  lists.add_option("DB", arguments->stores.files, "The database file whose rules are meant");
  lists.add_option("--sidecar", arguments->stores.sidecar, "Where its index is")->type_name("DIR");
  lists.add_option("--rules", arguments->rules_file, "A governance.toml to try")->type_name("FILE");
  CLI::App& releases = add_part(
      governance, "release", "Let a record in quarantine be embedded, with the text it has now",
      "  nearlite governance release app.db 17\n  nearlite governance release --db bot 4", context,
      action, arguments, &release);
  releases.add_option("KEY", arguments->positionals,
                      "[DB] KEY: the key of the record, after its database file");
  add_store_options(releases, arguments->stores);
}

}  // namespace nearlite::cli
