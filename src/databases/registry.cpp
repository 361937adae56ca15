#include "nearlite/databases/registry.h"

#include <algorithm>
#include <set>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/folder.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/governance_rules.h"
#include "nearlite/databases/seed_store.h"
#include "nearlite/databases/sidecar_folder.h"
#include "nearlite/databases/table_store.h"
#include "registry_state.h"

namespace nearlite {
namespace {

const SeedStoreKind& seed_kind(const std::string& name) {
  for (const SeedStoreKind& kind : seed_store_kinds()) {
    if (kind.name == name) return kind;
  }
  throw NotFound("\"" + name + "\" is none of the six built-in stores");
}

bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code failed;
  return std::filesystem::weakly_canonical(a, failed) ==
         std::filesystem::weakly_canonical(b, failed);
}

/// *.nearlite folders, by name.
std::vector<std::filesystem::path> sidecar_folders_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> folders;
  std::error_code failed;
  for (const std::string& name : names_in(folder)) {
    const std::filesystem::path path = folder / name;
    if (path.extension() == ".nearlite" && std::filesystem::is_directory(path, failed))
      folders.push_back(path);
  }
  return folders;
}

bool is_readable_file(const std::filesystem::path& file) {
  std::error_code failed;
  return std::filesystem::is_regular_file(file, failed);
}

}  // namespace

/// Collects entries under names that differ.
struct Registry::Builder {
  Registry& registry;
  std::vector<std::string> taken{};

  void add_seed(const SeedStoreKind& kind) {
    std::filesystem::path database = registry.folder_ / kind.file;
    if (kind.name == "enhancement") {
      database = registry.settings_.enhancement_database.value_or(database);
    }
    registry.entries_.push_back({.name = kind.name,
                                 .class_name = kind.class_name,
                                 .database = database,
                                 .table = {},
                                 .seed_store = true,
                                 .exists = stamp_of(database).has_value(),
                                 .sidecar_folder = registry.folder_});
    taken.push_back(kind.name);
  }

  void add_table(TableConfig table, const Config& config,
                 const std::filesystem::path& sidecar_folder) {
    for (const auto& [name, known] : registry.state_->tables) {
      const bool same = known.name == table.name && known.table == table.table &&
                        same_file(known.database, table.database);
      if (same) return;  // declared in the data folder and recorded in its sidecar folder
    }
    if (table.model.empty()) table.model = config.default_model;
    if (!table.backend) table.backend = config.default_backend;
    const bool free = std::none_of(taken.begin(), taken.end(), [&](const std::string& other) {
      return to_lower_ascii(other) == to_lower_ascii(table.name);
    });
    const std::string name =
        free ? table.name : default_store_name(table.name, table.database, taken);
    registry.entries_.push_back({.name = name,
                                 .class_name = name,
                                 .database = table.database,
                                 .table = table.table,
                                 .seed_store = false,
                                 .exists = stamp_of(table.database).has_value(),
                                 .sidecar_folder = sidecar_folder});
    taken.push_back(name);
    registry.state_->tables.emplace(name, std::move(table));
  }

  /// "app.db.nearlite" becomes the store "app.db".
  void add_broken(const std::filesystem::path& folder, const Error& error) {
    const std::string name = default_store_name(folder.stem().string(), folder, taken);
    registry.entries_.push_back({.name = name,
                                 .class_name = name,
                                 .database = folder.parent_path() / folder.stem(),
                                 .table = {},
                                 .seed_store = false,
                                 .exists = true,
                                 .sidecar_folder = folder,
                                 .broken = error.what()});
    taken.push_back(name);
  }

  /// One budget for all stores; its limit, where nobody gave one, is what the data folder says.
  void set_memory(const std::optional<std::uint64_t>& configured) {
    StoreSettings& settings = registry.settings_;
    if (!settings.memory) settings.memory = std::make_shared<MemoryBudget>();
    if (configured && !settings.memory_is_given) settings.memory->set_limit(*configured);
  }

  void finish() {
    const auto first_table =
        std::find_if(registry.entries_.begin(), registry.entries_.end(),
                     [](const StoreEntry& entry) { return !entry.seed_store; });
    std::sort(first_table, registry.entries_.end(),
              [](const StoreEntry& a, const StoreEntry& b) { return a.name < b.name; });
  }
};

Registry Registry::of_folder(const std::filesystem::path& data_folder, StoreSettings settings,
                             const std::optional<std::filesystem::path>& config) {
  std::error_code failed;
  if (!std::filesystem::is_directory(data_folder, failed)) {
    throw NotFound("there is no data folder " + data_folder.string());
  }
  Registry registry;
  registry.folder_ = data_folder;
  registry.settings_ = std::move(settings);
  registry.state_ = std::make_shared<State>();
  Builder builder{registry};
  builder.set_memory(std::nullopt);
  for (const SeedStoreKind& kind : seed_store_kinds()) builder.add_seed(kind);

  const std::filesystem::path file = config.value_or(data_folder / "nearlite.toml");
  if (config || stamp_of(file)) {
    const Config declared = read_config(file, ConfigPlace::kDataFolder);
    builder.set_memory(declared.memory_budget);
    for (SeedConfig seed : declared.seeds) {
      if (seed.model.empty()) seed.model = declared.default_model;
      if (!seed.backend) seed.backend = declared.default_backend;
      registry.state_->seeds.emplace(to_lower_ascii(seed.name), seed);
    }
    for (const SeedStoreKind& kind : seed_store_kinds()) {
      registry.state_->seeds.emplace(kind.name, SeedConfig{.name = kind.name,
                                                           .backend = declared.default_backend,
                                                           .model = declared.default_model});
    }
    for (const TableConfig& table : declared.tables) {
      builder.add_table(table, declared, sidecar_folder_of(table.database));
    }
  }
  for (const std::filesystem::path& folder : sidecar_folders_in(data_folder)) {
    if (!is_readable_file(sidecar_config(folder))) continue;
    try {
      const Config recorded = read_config(sidecar_config(folder), ConfigPlace::kSidecar);
      for (const TableConfig& table : recorded.tables) builder.add_table(table, recorded, folder);
    } catch (const Error& error) {
      builder.add_broken(folder, error);
    }
  }
  builder.finish();
  return registry;
}

Registry Registry::of_files(std::span<const std::filesystem::path> databases,
                            StoreSettings settings,
                            const std::optional<std::filesystem::path>& sidecar) {
  Registry registry;
  registry.settings_ = std::move(settings);
  registry.state_ = std::make_shared<State>();
  Builder builder{registry};
  builder.set_memory(std::nullopt);
  for (const std::filesystem::path& database : databases) {
    if (!stamp_of(database)) throw NotFound("there is no " + database.string());
    const std::filesystem::path folder = find_sidecar_folder(database, sidecar);
    const std::string hint = "run nearlite index " + database.string() + " first";
    if (!is_readable_file(sidecar_config(folder))) {
      throw NotFound("nothing of " + database.string() + " is embedded yet", hint);
    }
    const Config recorded = read_config(sidecar_config(folder), ConfigPlace::kSidecar);
    const std::size_t before = registry.entries_.size();
    for (TableConfig table : recorded.tables) {
      const bool moved = !sidecar && !stamp_of(table.database);
      if (!moved && !same_file(table.database, database)) continue;
      table.database = database;
      builder.add_table(std::move(table), recorded, folder);
    }
    if (registry.entries_.size() == before) {
      throw NotFound(
          "no store of " + database.string() + " is recorded in " + sidecar_config(folder).string(),
          hint);
    }
  }
  builder.finish();
  return registry;
}

const StoreEntry& Registry::entry(const std::string& name) const {
  const std::string wanted = to_lower_ascii(name);
  const auto named = [&](const std::string& candidate) -> const StoreEntry* {
    for (const StoreEntry& entry : entries_) {
      if (to_lower_ascii(entry.name) == candidate) return &entry;
    }
    return nullptr;
  };
  if (const StoreEntry* found = named(wanted)) return *found;
  if (const auto alias = state_->aliases.find(wanted); alias != state_->aliases.end()) {
    return *named(to_lower_ascii(alias->second));
  }
  for (const SeedStoreKind& kind : seed_store_kinds()) {
    const auto& aliases = kind.aliases;
    if (std::find(aliases.begin(), aliases.end(), wanted) == aliases.end()) continue;
    if (const StoreEntry* found = named(kind.name)) return *found;
  }
  check_store_name(name);
  std::vector<std::string> names;
  for (const StoreEntry& entry : entries_) names.push_back(entry.name);
  const auto near = nearest_name(name, names);
  std::string broken;
  for (const StoreEntry& entry : entries_) {
    if (!entry.broken.empty()) broken += "; not read: " + entry.broken;
  }
  throw NotFound("there is no store \"" + name + "\"" +
                 (near ? "; did you mean \"" + *near + "\"?" : ".") +
                 (names.empty() ? "" : " Stores: " + join_names(names)) + broken);
}

std::shared_ptr<const Gate> Registry::gate_of(const StoreEntry& entry) const {
  const RulesInForce rules =
      rules_in_force(entry.sidecar_folder, folder_.empty() ? settings_.data_folder : folder_);
  return state_->gate_of(rules, governance_level(entry));
}

GateLevel Registry::governance_level(const StoreEntry& entry) const {
  if (entry.registered) return GateLevel::kSecrets;
  if (!entry.seed_store) return gate_level_of(table_config(entry).governance);
  const auto seed = state_->seeds.find(entry.name);
  return seed == state_->seeds.end() ? GateLevel::kFull : gate_level_of(seed->second.governance);
}

EmbeddableOptions Registry::with_settings(EmbeddableOptions options, const StoreEntry& entry,
                                          const std::string& configured_model,
                                          const std::optional<Backend>& configured_backend) const {
  options.gate = gate_of(entry);
  options.memory = settings_.memory;
  options.keeps_model = true;
  if (settings_.model_name) {
    options.model_name = *settings_.model_name;
  } else if (!configured_model.empty()) {
    options.model_name = configured_model;
  } else if (!settings_.default_model.empty()) {
    options.model_name = settings_.default_model;
  }
  if (configured_backend) options.backend = *configured_backend;
  if (settings_.backend) options.backend = *settings_.backend;
  options.encoder = state_->encoder_of(options.model_name, settings_);
  options.other_encoder = [state = state_, settings = settings_](const std::string& name) {
    return state->encoder_of(name, settings);
  };
  return options;
}

const TableConfig& Registry::table_config(const StoreEntry& entry) const {
  if (!entry.broken.empty()) {
    throw InvalidArgument(entry.broken, "correct the file, or remove the folder " +
                                            entry.sidecar_folder.string() +
                                            " and run nearlite index again");
  }
  return state_->tables.at(entry.name);
}

std::shared_ptr<Store> Registry::open(const StoreEntry& entry) const {
  if (entry.registered) return open_registered(entry);
  if (entry.seed_store) return open_seed(entry, Open::kExisting);
  const TableConfig& config = table_config(entry);
  return std::make_unique<TableStore>(
      config,
      with_settings(TableStore::options_for(config, entry.sidecar_folder), entry, config.model,
                    config.backend),
      entry.name);
}

std::shared_ptr<Store> Registry::open_generation(const StoreEntry& entry, const std::string& model,
                                                 int generation) const {
  if (entry.registered) {
    throw InvalidArgument("\"" + entry.name +
                          "\" was registered by a program, which chooses its model");
  }
  Registry other = *this;
  other.settings_.model_name = model;
  other.settings_.backend = Backend::kAuto;
  if (entry.seed_store) {
    SeedConfig config = seed_config(entry);
    config.generation = generation;
    return other.open_seed(entry, Open::kExisting, config);
  }
  TableConfig config = table_config(entry);
  config.generation = generation;
  return std::make_unique<TableStore>(
      config,
      other.with_settings(TableStore::options_for(config, entry.sidecar_folder), entry,
                          config.model, config.backend),
      entry.name);
}

StoreGenerations Registry::generations(const StoreEntry& entry) const {
  const auto of = [](const auto& config) {
    return StoreGenerations{config.model, config.generation, config.previous_model,
                            config.previous_generation};
  };
  if (entry.registered) return {};
  return entry.seed_store ? of(seed_config(entry)) : of(table_config(entry));
}

std::unique_ptr<Store> Registry::create(const std::string& name) const {
  const StoreEntry& found = entry(name);
  if (!found.seed_store) {
    throw InvalidArgument("\"" + found.name +
                          "\" is a table of a database that has its own program; only the six "
                          "built-in stores can be created");
  }
  return open_seed(found, Open::kCreate);
}

SeedConfig Registry::seed_config(const StoreEntry& entry) const {
  const auto found = state_->seeds.find(entry.name);
  return found == state_->seeds.end() ? SeedConfig{} : found->second;
}

std::unique_ptr<Store> Registry::open_seed(const StoreEntry& entry, Open open) const {
  return open_seed(entry, open, seed_config(entry));
}

std::unique_ptr<Store> Registry::open_seed(const StoreEntry& entry, Open open,
                                           const SeedConfig& config) const {
  const SeedStoreKind& kind = seed_kind(entry.name);
  EmbeddableOptions options = kind.default_options(folder_);
  set_generation(options, config.generation);
  return kind.open(entry.database, {.open = open},
                   with_settings(std::move(options), entry, config.model, config.backend));
}

std::filesystem::path Registry::metrics_path(const StoreEntry& entry) const {
  return entry.sidecar_folder / "metrics.db";
}

}  // namespace nearlite
