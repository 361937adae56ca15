#include <CLI/CLI.hpp>

#include "../backfill_run.h"
#include "../command_line.h"
#include "nearlite/base/error.h"

namespace nearlite::cli {
namespace {

struct BackfillArguments {
  StoreArguments stores;
  BackfillSettings settings;
  std::string backend;
};

void tell_missing_seed_stores(const Context& context, const Registry& registry) {
  for (const StoreEntry& entry : registry.entries()) {
    if (entry.exists) continue;
    context.note(
        entry.name + ": no database " + entry.database.string() +
        (entry.seed_store ? "; nearlite store create " + entry.name + " makes an empty one" : ""));
  }
}

int backfill(Context& context, const BackfillArguments& arguments) {
  const StoreArguments& asked = arguments.stores;
  if (asked.empty())
    throw InvalidArgument("specify --db or --all", "nearlite store list shows the stores");
  if (asked.all && (!asked.dbs.empty() || !asked.names.empty())) {
    throw InvalidArgument("--all and --db exclude each other",
                          "drop --db to embed every store, drop --all to embed the named ones");
  }
  std::optional<Backend> backend;
  if (!arguments.backend.empty()) backend = backend_of(arguments.backend);
  const StoreSettings settings = store_settings(context);
  const auto stores = select_stores(context, asked, settings);
  if (asked.all) {
    const auto registry = folder_registry(context, settings);
    tell_missing_seed_stores(context, *registry);
    if (stores.empty()) {
      throw NotFound(
          "there is no store in " +
              std::filesystem::absolute(context.data_folder()).lexically_normal().string(),
          "nearlite index FILE makes one of a database, nearlite store create NAME an empty one of "
          "the six");
    }
  }
  offer_missing_models(context, stores);
  const BackfillOutcome outcome = run_backfill(context, stores, arguments.settings, backend);
  put_backfill_json(context, outcome);
  return outcome.exit_code;
}

}  // namespace

void add_backfill_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<BackfillArguments>();
  CLI::App& command =
      add_command(app, "backfill", "Embed what is missing or changed, remove what is gone",
                  "  nearlite backfill --all\n"
                  "  nearlite backfill --db bot --db workflow --backend annoy --batch-size 200\n"
                  "  nearlite backfill app.db --dry-run");
  add_store_arguments(command, arguments->stores, DbForm::kList);
  command.add_flag("--all", arguments->stores.all, "Every store of the data folder");
  add_choice(command, "--backend", arguments->backend, backend_choices(),
             "Index file to keep instead of the store's own");
  add_count(command, "--batch-size", arguments->settings.batch_size, 1, 10'000,
            "Records per step (default 100)");
  command.add_option("--session-id", arguments->settings.session_id,
                     "A name for this run in logs and statistics");
  command.add_flag("--dry-run", arguments->settings.dry_run,
                   "Count what would be done, and do nothing");
  command.add_flag("--full", arguments->settings.full,
                   "Read every row, also where an updated column says that it is unchanged");
  add_count(command, "--wait", arguments->settings.wait_seconds, 0, 1'000'000,
            "Wait for another run that holds a store")
      ->type_name("SECONDS");
  command.add_flag("--strict", arguments->settings.strict, "Exit 5 if any record was skipped");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return backfill(context, *arguments); };
  });
}

}  // namespace nearlite::cli
