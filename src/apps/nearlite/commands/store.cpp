#include <CLI/CLI.hpp>

#include "../command_line.h"
#include "../store_config.h"
#include "../store_selection.h"
#include "../text_input.h"
#include "model_change.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/seed_store.h"
#include "nearlite/databases/sidecar_folder.h"
#include "nearlite/databases/table_store.h"

namespace nearlite::cli {
namespace {

namespace fs = std::filesystem;

struct StoreCommandArguments {
  std::vector<std::string> files;
  std::string sidecar;
  std::string name;  // of add and set
  std::vector<std::string> names;
  std::vector<std::string> settings;  // KEY=VALUE
  bool all = false;
  // store set
  std::string model;
  bool rollback = false;
  bool dry_run = false;
  // store add
  std::string database;
  TableConfig table;
  std::vector<std::string> key, text, expose;
  std::string backend;
};

std::vector<SelectedStore> selected_by(const Context& context,
                                       const StoreCommandArguments& arguments) {
  StoreArguments asked;
  for (const std::string& argument : arguments.files) {
    (is_existing_file(argument) ? asked.files : asked.names).push_back(argument);
  }
  asked.sidecar = arguments.sidecar;
  return select_stores(context, asked, store_settings(context));
}

/// A store by name in the data folder; unlike select_stores, its database may be missing.
StoreEntry entry_of(const Context& context, const std::string& name) {
  check_store_name(name);
  return folder_registry(context, store_settings(context))->entry(name);
}

Json json_of(const StoreEntry& entry) {
  return {{"store", entry.name},
          {"class", entry.class_name},
          {"database", entry.database.string()},
          {"table", entry.table.empty() ? Json(nullptr) : Json(entry.table)},
          {"seed", entry.seed_store},
          {"exists", entry.exists},
          {"broken", entry.broken.empty() ? Json(nullptr) : Json(entry.broken)},
          {"sidecar_folder", entry.sidecar_folder.string()}};
}

int list(Context& context, const StoreCommandArguments& arguments) {
  std::vector<StoreEntry> entries;
  if (arguments.files.empty()) {
    entries = folder_registry(context, store_settings(context))->entries();
  } else {
    for (const SelectedStore& store : selected_by(context, arguments))
      entries.push_back(store.entry);
  }
  if (context.machine_form()) {
    Json all = Json::array();
    for (const StoreEntry& entry : entries) all.push_back(json_of(entry));
    if (context.options.json) context.put_json({{"stores", all}});
    if (context.options.jsonl) {
      for (const Json& entry : all) context.put_json(entry);
    }
    return 0;
  }
  TextTable table;
  for (const char* title : {"STORE", "CLASS", "DATABASE", "TABLE", ""}) table.column(title);
  for (const StoreEntry& entry : entries) {
    table.row({printable(entry.name), printable(entry.class_name),
               printable(entry.database.string()), printable(entry.table),
               !entry.broken.empty() ? "(broken: " + printable(entry.broken) + ")"
               : entry.exists        ? ""
                                     : "(no database yet)"});
  }
  context.out.write(table.text());
  return 0;
}

int show(Context& context, const StoreCommandArguments& arguments) {
  const auto selected = selected_by(context, arguments);
  Json all = Json::array();
  for (const SelectedStore& one : selected) {
    const auto store = one.open();
    const EmbeddableOptions& options = store->options();
    Json json = json_of(one.entry);
    json["backend"] = backend_name(options.backend);
    json["model"] = options.model_name;
    const StoreGenerations generations = one.registry->generations(one.entry);
    json["generation"] = generations.current;
    if (generations.previous > 0) json["previous_model"] = generations.previous_model;
    json["embedding_version"] = options.embedding_version;
    json["sidecar"] = store->sidecar_path().string();
    json["index"] = options.index_path.string();
    json["fields"] = store->shown_fields();
    json["metrics"] = one.registry->metrics_path(one.entry).string();
    all.push_back(std::move(json));
  }
  if (context.options.json) {
    context.put_json(all.size() == 1 ? all.front() : all);
    return 0;
  }
  for (const Json& json : all) {
    if (context.options.jsonl) {
      context.put_json(json);
      continue;
    }
    for (const auto& [name, value] : json.items()) {
      if (value.is_null()) continue;
      std::string text = value.is_string() ? value.get<std::string>() : json_text(value);
      context.out.line(name + std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') +
                       printable(text));
    }
    if (all.size() > 1) context.out.line("");
  }
  return 0;
}

void put_done(Context& context, const std::string& name, const fs::path& file,
              const std::string& text) {
  if (context.machine_form()) {
    context.put_json({{"store", name}, {"file", file.string()}});
  } else {
    context.out.line(printable(text));
  }
}

int add(Context& context, StoreCommandArguments arguments) {
  TableConfig& table = arguments.table;
  table.name = arguments.name;
  check_store_name(table.name);
  table.database = fs::absolute(arguments.database).lexically_normal();
  table.key = split_list(arguments.key);
  table.text = split_list(arguments.text);
  table.expose = split_list(arguments.expose);
  if (!arguments.backend.empty()) table.backend = backend_of(arguments.backend);
  const auto registry = folder_registry(context, store_settings(context));
  for (const StoreEntry& entry : registry->entries()) {
    if (to_lower_ascii(entry.name) == to_lower_ascii(table.name)) {
      throw InvalidArgument("there is already a store " + entry.name, "choose another name");
    }
  }
  // Opened before it is written down: a wrong table, column or condition is refused with the
  // nearest name.
  const TableStore probe(table,
                         TableStore::options_for(table, find_sidecar_folder(table.database)));
  const StoreConfig config = folder_config(context);
  add_store(config.file, table, config.place);
  put_done(context, table.name, config.file,
           "added store " + table.name + " to " + config.file.string() +
               "; nearlite backfill --db " + table.name + " embeds it");
  return 0;
}

int set(Context& context, const StoreCommandArguments& arguments) {
  const auto registry = folder_registry(context, store_settings(context));
  check_store_name(arguments.name);
  const StoreEntry entry = registry->entry(arguments.name);
  const StoreConfig config = config_of(context, entry);
  if (arguments.settings.empty() && arguments.model.empty() && !arguments.rollback) {
    throw InvalidArgument("nothing to set", "nearlite store set " + entry.name +
                                                " KEY=VALUE, --model M or --rollback");
  }
  const ModelChange change{registry, entry, config.file, config.place, arguments.dry_run};
  if (arguments.rollback) {
    if (!arguments.settings.empty() || !arguments.model.empty())
      throw InvalidArgument("--rollback goes alone");
    return roll_back_model(context, change);
  }
  std::vector<std::pair<std::string, std::string>> changes;
  for (const std::string& setting : arguments.settings) {
    const std::size_t at = setting.find('=');
    if (at == std::string::npos || at == 0) {
      throw InvalidArgument("\"" + setting + "\" is not of the form KEY=VALUE",
                            "nearlite store set " + entry.name + " backend=faiss");
    }
    changes.emplace_back(setting.substr(0, at), setting.substr(at + 1));
    for (const char* ours : {"generation", "previous_generation", "previous_model"}) {
      if (changes.back().first == ours)
        throw InvalidArgument(std::string(ours) + " is kept by --model and --rollback");
    }
  }
  std::string model = arguments.model;
  std::erase_if(changes, [&](const auto& setting) {
    if (setting.first != "model") return false;
    model = setting.second.empty() ? context.default_model() : setting.second;
    return true;
  });
  if (!changes.empty() && !arguments.dry_run)
    set_store(config.file, entry.name, changes, config.place);
  if (!model.empty()) return change_model(context, change, full_model_name(model));
  put_done(context, entry.name, config.file,
           "changed store " + entry.name + " in " + config.file.string());
  return 0;
}

int create(Context& context, const StoreCommandArguments& arguments) {
  std::vector<std::string> names = arguments.names;
  if (arguments.all == !names.empty())
    throw InvalidArgument("specify the stores to create, or --all");
  if (arguments.all) {
    for (const SeedStoreKind& kind : seed_store_kinds()) names.push_back(kind.name);
  }
  const auto registry = folder_registry(context, store_settings(context));
  for (const std::string& name : names) {
    check_store_name(name);
    const StoreEntry& entry = registry->entry(name);
    registry->create(entry.name);
    put_done(context, entry.name, entry.database,
             (entry.exists ? "there is already " : "created ") + entry.class_name + ": " +
                 entry.database.string());
  }
  return 0;
}

int remove(Context& context, const StoreCommandArguments& arguments) {
  for (const std::string& name : arguments.names) {
    const StoreEntry entry = entry_of(context, name);
    if (entry.seed_store) {
      throw InvalidArgument(
          "store " + entry.name + " is one of the six, which every data folder has",
          "delete " + entry.database.string() + " and it is gone");
    }
    const StoreConfig config = config_of(context, entry);
    remove_store(config.file, entry.name, config.place);
    put_done(context, entry.name, config.file,
             "removed store " + entry.name + " from " + config.file.string() +
                 "; its vectors stay in " + entry.sidecar_folder.string() +
                 " until that is deleted");
  }
  return 0;
}

}  // namespace

void add_store_command(CLI::App& app, Context& context, Action& action) {
  CLI::App& store =
      add_command(app, "store", "The stores of the data folder",
                  "  nearlite store list\n"
                  "  nearlite store create bot workflow\n"
                  "  nearlite store add notes --database app.db --table note --text title,body\n"
                  "  nearlite store set notes backend=faiss");
  store.require_subcommand(0, 1);
  auto arguments = std::make_shared<StoreCommandArguments>();
  const auto runs = [arguments, &context, &action](auto function) {
    return [arguments, &context, &action, function] {
      action = [arguments, &context, function] { return function(context, *arguments); };
    };
  };
  store.callback([&action] {
    if (!action)
      action = []() -> int {
        throw InvalidArgument("store: which command?", "list, show, add, set, create or remove");
      };
  });

  CLI::App& list_command =
      add_command(store, "list", "Every store, also those without a database yet");
  list_command.add_option("DB", arguments->files, "Database files instead of the data folder");
  list_command
      .add_option("--sidecar", arguments->sidecar, "Where the index of the database file is")
      ->type_name("DIR");
  list_command.callback(runs(&list));

  CLI::App& show_command =
      add_command(store, "show", "How a store is configured and where its files are");
  show_command.add_option("NAME", arguments->files, "Stores, or database files")->required();
  show_command
      .add_option("--sidecar", arguments->sidecar, "Where the index of the database file is")
      ->type_name("DIR");
  show_command.callback(runs(&show));

  CLI::App& add =
      add_command(store, "add", "Make a store of a table or view, in nearlite.toml",
                  "  nearlite store add notes --database app.db --table note --text title,body");
  add.add_option("NAME", arguments->name, "Name of the new store")->required();
  add.add_option("--database", arguments->database, "The SQLite file")
      ->required()
      ->type_name("FILE");
  add.add_option("--table", arguments->table.table, "Table or view")->required()->type_name("T");
  add_list(add, "--text", arguments->text, "Text columns, separated by commas")->type_name("A,B");
  add.add_option("--template", arguments->table.text_template,
                 "Instead of --text: \"{name}: {description}\"")
      ->type_name("T");
  add_list(add, "--key", arguments->key, "Key columns (default: the primary key, else rowid)")
      ->type_name("A,B");
  add.add_option("--vector", arguments->table.vector,
                 "A BLOB column of little-endian float32: vectors of the store's own")
      ->type_name("C");
  add.add_option("--where", arguments->table.where, "Only these rows")->type_name("SQL");
  add.add_option("--updated", arguments->table.updated, "A column that changes with the row")
      ->type_name("C");
  add_list(add, "--expose", arguments->expose, "Columns that results show")->type_name("A,B");
  add_choice(add, "--backend", arguments->backend, backend_choices(), "Index file to keep");
  add.add_option("--model", arguments->table.model, "A hub name or a folder")->type_name("M");
  add_choice(add, "--governance", arguments->table.governance, {"secrets", "full", "off"},
             "Rules before embedding");
  add.callback(runs([](Context& c, const StoreCommandArguments& a) { return cli::add(c, a); }));

  CLI::App& set_command = add_command(store, "set", "Change options of a store, in nearlite.toml",
                                      "  nearlite store set notes backend=faiss text=title,body\n"
                                      "  nearlite store set notes --model intfloat/e5-small-v2");
  set_command.add_option("NAME", arguments->name, "The store")->required();
  set_command.add_option("KEY=VALUE", arguments->settings,
                         "backend=faiss, text=title,body, ...; an empty value removes the key");
  set_command
      .add_option(
          "--model", arguments->model,
          "Embed all records with this model beside the present vectors, which answer until "
          "that is done; then switch")
      ->type_name("M");
  set_command.add_flag("--rollback", arguments->rollback, "Back to the model before");
  set_command.add_flag("--dry-run", arguments->dry_run, "Say what a model change would take");
  set_command.callback(runs(&set));

  CLI::App& create_command =
      add_command(store, "create", "Make the empty database of one of the six seed stores");
  create_command.add_option("NAME", arguments->names,
                            "bot, workflow, error, information, enhancement, research");
  create_command.add_flag("--all", arguments->all, "All six");
  create_command.callback(runs(&create));

  CLI::App& remove_command = add_command(
      store, "remove", "Remove a store from nearlite.toml; its database stays as it is");
  remove_command.add_option("NAME", arguments->names, "Stores")->required();
  remove_command.callback(runs(&remove));
}

}  // namespace nearlite::cli
