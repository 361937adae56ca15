#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "command_line.h"
#include "context.h"
#include "nearlite/databases/registry.h"
#include "nearlite/service/embedding_backfill.h"

namespace nearlite::cli {

/// The stores that a command was given.
struct StoreArguments {
  std::vector<std::string> files;  // positional
  std::vector<std::string> dbs;    // --db: a store name, or a file if one of that name exists
  std::vector<std::string> names;  // --store: store names only
  std::string sidecar;
  bool all = false;

  bool empty() const noexcept { return files.empty() && dbs.empty() && names.empty() && !all; }
};

/// Adds [DB]..., --db, --store and --sidecar. `list_form`: `--db a b` is two stores, as in the
/// seed's older script.
enum class DbForm { kOneEach, kList };
void add_store_arguments(CLI::App& command, StoreArguments& arguments,
                         DbForm form = DbForm::kOneEach);
/// The same without [DB]..., for commands that read the positionals themselves.
void add_store_options(CLI::App& command, StoreArguments& arguments,
                       DbForm form = DbForm::kOneEach);

struct SelectedStore {
  std::shared_ptr<const Registry> registry;
  StoreEntry entry;

  std::shared_ptr<Store> open() const { return registry->open(entry); }
  vector_service::StoreSource source() const;
  /// "nearlite backfill app.db --db notes": the command that refreshes it.
  std::string refresh_command(const Context& context) const;
};

/// What a registry is opened with.
StoreSettings store_settings(const Context& context, std::optional<Backend> backend = std::nullopt);

/// The registry of the data folder, with --config.
std::shared_ptr<const Registry> folder_registry(const Context& context,
                                                const StoreSettings& settings);

/// Every store asked for, each once (a repeated one is noted), in the order given; without any
/// argument those of the data folder whose database exists. Named stores must exist. Nothing is
/// opened. Throws InvalidArgument for names that cannot be one, NotFound with the nearest name for
/// unknown ones.
std::vector<SelectedStore> select_stores(const Context& context, const StoreArguments& arguments,
                                         const StoreSettings& settings);

/// Whether this names an existing file (not a folder).
bool is_existing_file(const std::string& argument);

}  // namespace nearlite::cli
