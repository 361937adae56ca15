#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <tuple>

#include "../backfill_run.h"
#include "../command_line.h"
#include "../model_choice.h"
#include "../question.h"
#include "../store_selection.h"
#include "../text_input.h"
#include "index_proposal.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/proposal.h"
#include "nearlite/databases/schema.h"
#include "nearlite/databases/sidecar_folder.h"
#include "nearlite/databases/table_store.h"

namespace nearlite::cli {
namespace {

namespace fs = std::filesystem;

struct IndexArguments {
  std::string database;
  std::vector<std::string> tables;  // T or T:COL,COL
  std::vector<std::string> columns;
  std::vector<std::string> excluded;
  std::vector<std::string> key;
  std::string where;
  std::string name;
  std::string model;
  std::string backend;
  std::string sidecar;
  BackfillSettings backfill;
  bool propose = false;
  bool full = false;
};

/// What one run of `index` works on.
struct Target {
  fs::path database;
  std::optional<fs::path> sidecar;  // --sidecar
  fs::path folder;                  // of the sidecar
  std::vector<TableConfig> recorded;
};

Target target_of(const IndexArguments& arguments) {
  Target target;
  target.database = fs::absolute(arguments.database).lexically_normal();
  std::error_code error;
  if (!fs::exists(target.database, error))
    throw NotFound("there is no file " + target.database.string());
  if (!fs::is_regular_file(target.database, error)) {
    throw InvalidArgument(target.database.string() +
                          " is not a regular file, a SQLite database is needed");
  }
  if (find_invalid_utf8(target.database.string())) {
    throw InvalidArgument("the name of " + target.database.string() +
                              " is not valid UTF-8, nearlite.toml cannot name it",
                          "rename the file or its folder");
  }
  if (!arguments.sidecar.empty())
    target.sidecar = fs::absolute(arguments.sidecar).lexically_normal();
  target.folder = find_sidecar_folder(target.database, target.sidecar);
  // The record names the file itself: a link may be gone tomorrow.
  if (fs::is_symlink(target.database, error)) target.database = fs::canonical(target.database);
  if (const fs::path file = sidecar_config(target.folder); fs::exists(file, error)) {
    target.recorded = read_config(file, ConfigPlace::kSidecar).tables;
  }
  return target;
}

const TableConfig* recorded_table(const Target& target, const std::string& table) {
  const auto found = std::ranges::find_if(target.recorded, [&](const TableConfig& known) {
    return to_lower_ascii(known.table) == to_lower_ascii(table);
  });
  return found == target.recorded.end() ? nullptr : &*found;
}

/// Where the columns of T:COL,COL begin: the first colon outside double quotes, else the end.
std::size_t colon_of(const std::string& text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (text[i] == ':' && !quoted) return i;
  }
  return text.size();
}

ProposalOptions proposal_options(const IndexArguments& arguments, const Target& target) {
  ProposalOptions options;
  for (const std::string& text : arguments.tables) {
    const std::size_t colon = colon_of(text);
    std::string table = text.substr(0, colon);
    if (table.starts_with('"')) {
      const std::vector<std::string> unquoted = split_list({table});
      if (unquoted.size() == 1) table = unquoted.front();
    }
    std::vector<std::string> columns;
    if (colon < text.size()) columns = split_list({text.substr(colon + 1)});
    options.tables.emplace_back(std::move(table), std::move(columns));
  }
  options.columns = split_list(arguments.columns);
  options.excluded_tables.insert(arguments.excluded.begin(), arguments.excluded.end());
  options.key = split_list(arguments.key);
  options.where = arguments.where;
  for (const TableConfig& known : target.recorded) options.taken_names.push_back(known.name);
  return options;
}

/// The proposal without the tables that are recorded already. Throws InvalidArgument if one of them
/// was asked for in another way than it is recorded.
Proposal new_tables(const IndexArguments& arguments, const Target& target) {
  ProposalOptions options = proposal_options(arguments, target);
  std::erase_if(options.tables, [&](const auto& asked) {
    const TableConfig* known = recorded_table(target, asked.first);
    if (known == nullptr) return false;
    if (!asked.second.empty() && asked.second != known->text) {
      const TableSchema schema = read_table(Connection::open_source(target.database), known->table);
      for (const std::string& column : asked.second) known_column(schema, column);
      throw InvalidArgument(
          "table " + known->table + " is recorded with the columns " + join_names(known->text),
          "change text in [store." + known->name + "] of " +
              sidecar_config(target.folder).string());
    }
    return true;
  });
  if (!arguments.tables.empty() && options.tables.empty()) return {};
  for (const TableConfig& known : target.recorded) options.recorded_tables.insert(known.table);
  const Connection db = Connection::open_source(target.database);
  Proposal proposal = propose(db, target.database, options);
  std::erase_if(proposal.tables, [&](const ProposedTable& table) {
    return recorded_table(target, table.config.table) != nullptr;
  });
  return proposal;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::any_of(names, [&](const std::string& other) {
    return to_lower_ascii(other) == to_lower_ascii(name);
  });
}

/// Options that say how new stores are to be, and say it otherwise than the tables are recorded: a
/// refresh would pass them over.
void refuse_without_effect(const IndexArguments& arguments, const Target& target) {
  const std::vector<std::string> columns = split_list(arguments.columns);
  const std::vector<std::string> key = split_list(arguments.key);
  const std::string model = arguments.model.empty() ? "" : full_model_name(arguments.model);
  for (const TableConfig& known : target.recorded) {
    const bool other_columns =
        !columns.empty() && std::ranges::any_of(known.text, [&](const std::string& column) {
          return !contains(columns, column);
        });
    const std::string change =
        "change [store." + known.name + "] of " + sidecar_config(target.folder).string();
    const std::string to_model = "nearlite store set " + known.name + " --model " +
                                 shell_word(model) +
                                 " makes new vectors beside the present ones and then switches";
    for (const auto& [option, differs, hint] :
         {std::tuple("--column", other_columns, &change),
          std::tuple("--exclude-table", contains(arguments.excluded, known.table), &change),
          std::tuple("--key", !key.empty() && key != known.key, &change),
          std::tuple("--where", !arguments.where.empty() && arguments.where != known.where,
                     &change),
          std::tuple("--name",
                     !arguments.name.empty() &&
                         (target.recorded.size() > 1 || arguments.name != known.name),
                     &change),
          std::tuple("--model", !model.empty() && full_model_name(known.model) != model,
                     &to_model)}) {
      if (!differs) continue;
      throw InvalidArgument("the store " + known.name + " of " + target.database.string() +
                                " is recorded otherwise: " + option + " has no effect on it",
                            *hint);
    }
  }
}

void complete(Proposal& proposal, const Context& context, const IndexArguments& arguments,
              const Target& target) {
  const bool is_refresh = proposal.tables.empty() && !target.recorded.empty();
  if (!arguments.name.empty() && !is_refresh) {
    if (proposal.tables.size() != 1) {
      throw InvalidArgument(
          "--name goes with one table, " + std::to_string(proposal.tables.size()) + " are proposed",
          "choose one with --table");
    }
    check_store_name(arguments.name);
    proposal.tables.front().config.name = arguments.name;
  }
  for (ProposedTable& table : proposal.tables) {
    table.config.database = target.database;
    if (!arguments.backend.empty()) table.config.backend = backend_of(arguments.backend);
    if (!arguments.model.empty()) {
      table.config.model = full_model_name(arguments.model);
    } else if (context.environment.model) {
      table.config.model = context.default_model();
    }
  }
}

/// The arguments again, as one types them, to go before "--yes".
std::string own_command(const IndexArguments& arguments) {
  std::string command = "nearlite index " + shell_word(arguments.database);
  const auto add = [&](const char* option, const std::vector<std::string>& values) {
    for (const std::string& value : values)
      command += std::string(" ") + option + " " + shell_word(value);
  };
  add("--column", arguments.columns);
  add("--exclude-table", arguments.excluded);
  add("--key", arguments.key);
  for (const auto& [option, value] :
       {std::pair("--where", &arguments.where), std::pair("--name", &arguments.name),
        std::pair("--model", &arguments.model), std::pair("--backend", &arguments.backend),
        std::pair("--sidecar", &arguments.sidecar)}) {
    if (!value->empty()) command += std::string(" ") + option + " " + shell_word(*value);
  }
  if (arguments.propose) command += " --propose";
  return command;
}

/// True: go on. Without anybody to ask, throws InvalidArgument with the command that accepts.
bool is_accepted(const Context& context, const IndexArguments& arguments) {
  if (context.options.yes || !arguments.tables.empty()) return true;
  if (!can_ask()) {
    throw InvalidArgument("nothing was indexed: the proposal was not accepted",
                          own_command(arguments) + " --yes accepts it");
  }
  return ask_yes_or_no("Index these tables?");
}

std::vector<SelectedStore> stores_of(const Context& context, const Target& target) {
  const std::array files = {target.database};
  const auto registry = std::make_shared<const Registry>(
      Registry::of_files(files, store_settings(context), target.sidecar));
  std::vector<SelectedStore> stores;
  for (const StoreEntry& entry : registry->entries()) stores.push_back({registry, entry});
  return stores;
}

void record(const Target& target, const Proposal& proposal) {
  create_sidecar_folder(target.folder, target.database);
  for (const ProposedTable& table : proposal.tables) {
    add_store(sidecar_config(target.folder), table.config, ConfigPlace::kSidecar);
  }
}

void put_results(Context& context, const IndexArguments& arguments,
                 const BackfillOutcome& outcome) {
  if (context.machine_form()) {
    put_backfill_json(context, outcome);
    return;
  }
  for (const auto& store : outcome.stores) {
    if (store.result) context.out.line(index_result_line(store, arguments.backfill.dry_run));
  }
  context.out.flush();
  if (outcome.exit_code == 0) {
    const std::string sidecar =
        arguments.sidecar.empty() ? "" : " --sidecar " + shell_word(arguments.sidecar);
    context.note("ask it something: nearlite search " + shell_word(arguments.database) + sidecar +
                 " \"...\"");
  }
}

int index(Context& context, IndexArguments arguments) {
  arguments.backfill.text_on_stdout = false;
  arguments.backfill.full = arguments.full;
  const Target target = target_of(arguments);
  const bool look_for_more =
      target.recorded.empty() || arguments.propose || !arguments.tables.empty();
  Proposal proposal = new_tables(arguments, target);
  if (!look_for_more) {
    tell_new_tables(context, proposal, own_command(arguments));
    proposal.tables.clear();
  }
  if (proposal.tables.empty() && !target.recorded.empty()) refuse_without_effect(arguments, target);
  complete(proposal, context, arguments, target);
  if (look_for_more && (!proposal.tables.empty() || target.recorded.empty())) {
    const std::string model =
        proposal.tables.empty() ? context.default_model() : model_of(proposal.tables.front());
    const PricedProposal priced = price(context, std::move(proposal), model, target.folder);
    proposal = priced.proposal;
    put_proposal(context, priced);
    if (proposal.tables.empty()) {
      throw NotFound("no table of " + target.database.string() + " has text to search",
                     "name one with --table T:COLUMN,COLUMN");
    }
    if (arguments.backfill.dry_run) {
      if (context.machine_form()) put_proposal_json(context, priced);
      return 0;
    }
    if (!is_accepted(context, arguments)) return 0;
    for (const ProposedTable& table : proposal.tables) require_model(context, model_of(table));
    record(target, proposal);
  }
  const auto stores = stores_of(context, target);
  offer_missing_models(context, stores);
  std::optional<Backend> backend;
  if (!arguments.backend.empty()) backend = backend_of(arguments.backend);
  const BackfillOutcome outcome = run_backfill(context, stores, arguments.backfill, backend);
  put_results(context, arguments, outcome);
  return outcome.exit_code;
}

}  // namespace

void add_index_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<IndexArguments>();
  CLI::App& command = add_command(
      app, "index", "Make a SQLite file searchable; run again: refresh what changed",
      "  nearlite index app.db                       look, propose, ask\n"
      "  nearlite index app.db --yes                 take what is proposed\n"
      "  nearlite index app.db --table note:title,body --name notes\n"
      "The file itself is not changed: everything is kept in app.db.nearlite beside it.");
  command.add_option("DB", arguments->database, "The SQLite file")->required();
  add_list(command, "--table", arguments->tables, "This table, with these columns or chosen ones")
      ->type_name("T[:COL,COL]");
  add_list(command, "--column", arguments->columns, "Only columns of this name")->type_name("C");
  add_list(command, "--exclude-table", arguments->excluded, "Not this table")->type_name("T");
  add_list(command, "--key", arguments->key, "Key column (default: the primary key, else rowid)")
      ->type_name("C");
  command.add_option("--where", arguments->where, "Only rows for which this holds")
      ->type_name("SQL");
  command.add_option("--name", arguments->name, "Name of the store (default: the table's)")
      ->type_name("STORE");
  command
      .add_option("--model", arguments->model,
                  "A hub name or a folder (default: NEARLITE_MODEL, else all-MiniLM-L6-v2)")
      ->type_name("M");
  add_choice(command, "--backend", arguments->backend, backend_choices(), "Index file to keep");
  command
      .add_option("--sidecar", arguments->sidecar,
                  "Keep the index in this folder instead of DB.nearlite")
      ->type_name("DIR");
  add_count(command, "--batch-size", arguments->backfill.batch_size, 1, 10'000,
            "Records per step (default 100)");
  command.add_flag("--dry-run", arguments->backfill.dry_run,
                   "Show the proposal, or what a refresh would do, and do nothing");
  command.add_flag("--propose", arguments->propose, "Also add tables that are not recorded yet");
  command.add_flag("--full", arguments->full,
                   "Read every row, also where an updated column says that it is unchanged");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return index(context, *arguments); };
  });
}

}  // namespace nearlite::cli
