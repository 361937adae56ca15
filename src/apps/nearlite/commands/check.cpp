#include <CLI/CLI.hpp>

#include "../command_line.h"
#include "../store_selection.h"
#include "nearlite/base/error.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::cli {
namespace {

struct CheckArguments {
  StoreArguments stores;
  bool repair = false;
  bool erased = false;
  bool full = false;
};

struct StoreFinding {
  std::string store;
  CheckFinding finding;
};

Json json_of(const StoreFinding& found) {
  return {{"code", found.finding.code},
          {"store", found.store},
          {"file", found.finding.file},
          {"message", found.finding.message},
          {"repaired", found.finding.repaired}};
}

int check(Context& context, const CheckArguments& arguments) {
  if (arguments.erased && arguments.repair) {
    throw InvalidArgument("--erased and --repair exclude each other",
                          "nearlite erase with the same key finishes an erasure");
  }
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  std::vector<StoreFinding> findings;
  int exit_code = 0;
  for (const SelectedStore& store : selected) {
    try {
      const auto opened = store.open();
      auto found = arguments.erased
                       ? opened->check_erased({store.registry->metrics_path(store.entry)})
                       : opened->check(arguments.repair,
                                       arguments.full ? CheckDepth::kFull : CheckDepth::kFast);
      for (CheckFinding& finding : found) {
        findings.push_back({store.entry.name, std::move(finding)});
      }
    } catch (const Error&) {
      const StoreFailure failure = failure_in_flight(store.entry.name);
      // A file that is not what it claims to be is what this command is for; everything else
      // stopped the check.
      findings.push_back(
          {store.entry.name,
           {failure.type == std::string("CorruptData") ? "unreadable" : "not-checked",
            store.entry.database.string(), failure.message, false}});
      if (!failure.hint.empty()) context.warn(store.entry.name + ": " + failure.hint);
      if (failure.exit_code != 3) exit_code = failure.exit_code;
    }
  }
  const bool ok = std::ranges::all_of(
      findings, [](const StoreFinding& found) { return found.finding.repaired; });
  if (context.options.json) {
    Json json = {{"ok", ok}, {"findings", Json::array()}};
    for (const StoreFinding& found : findings) json["findings"].push_back(json_of(found));
    context.put_json(json);
  } else {
    for (const StoreFinding& found : findings) {
      if (context.options.jsonl) {
        context.put_json(json_of(found));
      } else {
        context.out.line(printable(found.store) + ": " + found.finding.code + ": " +
                         printable(found.finding.message) +
                         (found.finding.repaired ? " (repaired)" : ""));
      }
    }
    context.out.flush();
    if (ok)
      context.note(std::to_string(selected.size()) + (selected.size() == 1 ? " store" : " stores") +
                   (arguments.erased ? " searched: nothing erased is left" : " checked: sound"));
    if (!ok && !arguments.repair && !arguments.erased)
      context.note("nearlite check --repair rebuilds what is derived");
  }
  if (exit_code != 0) return exit_code;
  return ok ? 0 : 3;
}

}  // namespace

void add_check_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<CheckArguments>();
  CLI::App& command = add_command(
      app, "check", "Verify sidecar, segments, index, JSON and source keys against each other",
      "  nearlite check app.db\n  nearlite check --repair");
  add_store_arguments(command, arguments->stores);
  command.add_flag("--repair", arguments->repair,
                   "Rebuild what is derived; truth is never touched");
  command.add_flag("--full", arguments->full,
                   "Also every page of the sidecar, and its keys against the rows");
  command.add_flag("--erased", arguments->erased,
                   "Search all bytes of all files for what was erased");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return check(context, *arguments); };
  });
}

}  // namespace nearlite::cli
