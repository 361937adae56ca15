#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/base/memory_budget.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/store.h"
#include "nearlite/governance/rules.h"

namespace nearlite {

/// What a store is opened with, on top of what its configuration says.
struct StoreSettings {
  std::optional<Backend> backend{};
  std::optional<std::string> model_name{};
  std::string default_model{};  // of stores whose configuration names none; empty: the library's
  std::optional<std::filesystem::path>
      enhancement_database{};  // ENHANCEMENT_DB_PATH; else enhancements.db in the data folder
  std::filesystem::path data_folder{};  // of single files: looked at for a governance.toml
  ModelPlaces places = ModelPlaces::standard();
  EncoderOptions encoder{};
  // What caches and maps of all stores may hold together; null: a budget of this registry's own.
  std::shared_ptr<MemoryBudget> memory{};
  bool memory_is_given = false;  // memory_budget of a nearlite.toml does not change its limit
  std::shared_ptr<const TextEncoder>
      shared_encoder;  // used for every store with its model name; tests pass a fake
};

/// A store that can be opened, without opening it.
struct StoreEntry {
  std::string name{};
  std::string class_name{};
  std::filesystem::path database{};
  std::string table{};  // declared tables only
  bool seed_store = false;
  bool registered = false;                 // by a program
  bool exists = false;                     // the database file is there
  std::filesystem::path sidecar_folder{};  // where truth, index and JSON are
  std::string broken{};  // why it cannot be opened: its configuration cannot be read
};

/// A class of stores that a program registers: opened by name, like one of the six.
struct StoreClass {
  std::string name{};                  // "note"
  std::string class_name{};            // "NoteDB"; empty: the name
  std::vector<std::string> aliases{};  // case does not count
  std::filesystem::path database{};    // relative: inside the data folder
  /// options: index NAME_embeddings.index in the data folder, model, encoder and gate (level
  /// "secrets") as the registry has them; what open() does not like it may change.
  std::function<std::unique_ptr<Store>(const std::filesystem::path& database,
                                       EmbeddableOptions options)>
      open{};
};

/// Which files of vectors a store uses (set_generation), and which it can go back to.
struct StoreGenerations {
  std::string model{};  // as configured; empty: the default
  int current = 1;
  std::string previous_model{};
  int previous = 0;  // 0: none
};

/// The stores of a data folder (interface.md §1): the six whose file exists, those of its
/// nearlite.toml, and every *.nearlite/ folder in it; or the stores recorded for single database
/// files; and what a program registers. Encoders are shared between stores of the same model. Any
/// thread may read it; register_class() and register_store() come before that.
class Registry {
 public:
  /// Throws NotFound if the folder is missing, InvalidArgument for a wrong nearlite.toml of the
  /// folder itself (file, line, column). A *.nearlite folder whose file is wrong is one entry,
  /// named after it, that says so when it is opened: the others go on.
  static Registry of_folder(const std::filesystem::path& data_folder, StoreSettings settings,
                            const std::optional<std::filesystem::path>& config = std::nullopt);
  /// The stores recorded in the sidecar folder of each file. Throws NotFound for a missing file, or
  /// one that has none yet
  /// ("run nearlite index FILE first").
  static Registry of_files(std::span<const std::filesystem::path> databases, StoreSettings settings,
                           const std::optional<std::filesystem::path>& sidecar = std::nullopt);

  /// Adds a class or an object of the program's own to what entry(), open() and --all know. An
  /// object keeps its backend, whatever is asked for, and is shared with the program. Throws
  /// InvalidArgument if its name or an alias is none, or taken (case does not count).
  void register_class(StoreClass kind);
  void register_store(std::shared_ptr<Store> store, const std::vector<std::string>& aliases = {});

  /// In the seed's order, then by name. Seed stores without a file are listed with exists = false.
  const std::vector<StoreEntry>& entries() const noexcept { return entries_; }
  /// The entry of a name or alias (reference §10: bots, botdb, info -> information, ...).
  /// Throws NotFound with the nearest known name, then the list.
  const StoreEntry& entry(const std::string& name) const;
  /// Throws NotFound if the database does not exist (a seed store: names `store create NAME`).
  std::shared_ptr<Store> open(const StoreEntry& entry) const;
  std::shared_ptr<Store> open(const std::string& name) const { return open(entry(name)); }
  /// The store with vectors of another model in files of their own, and without an index file for
  /// other programs: where the next generation grows while the present one answers. Throws
  /// InvalidArgument for what a program registered: its model is the program's choice.
  std::shared_ptr<Store> open_generation(const StoreEntry& entry, const std::string& model,
                                         int generation) const;
  StoreGenerations generations(const StoreEntry& entry) const;
  /// Makes the empty database of a seed store, or adds what an existing one lacks, and opens it.
  /// Throws InvalidArgument for a declared table.
  std::unique_ptr<Store> create(const std::string& name) const;
  /// The same stores, opened with this backend instead of their own.
  Registry with_backend(Backend backend) const {
    Registry other = *this;
    other.settings_.backend = backend;
    return other;
  }
  /// The gate in front of the store's encoder: its level, and governance.toml of its sidecar
  /// folder, else of the data folder, else the built-in rules. Throws as read_rules.
  std::shared_ptr<const Gate> gate_of(const StoreEntry& entry) const;
  GateLevel governance_level(const StoreEntry& entry) const;
  /// metrics.db: of a seed store in the data folder, of a declared table in its sidecar folder.
  std::filesystem::path metrics_path(const StoreEntry& entry) const;

 private:
  struct Builder;
  EmbeddableOptions with_settings(EmbeddableOptions options, const StoreEntry& entry,
                                  const std::string& configured_model,
                                  const std::optional<Backend>& configured_backend) const;
  std::unique_ptr<Store> open_seed(const StoreEntry& entry, Open open) const;
  std::unique_ptr<Store> open_seed(const StoreEntry& entry, Open open,
                                   const SeedConfig& config) const;
  SeedConfig seed_config(const StoreEntry& entry) const;
  const TableConfig& table_config(const StoreEntry& entry) const;
  void add_registered(StoreEntry entry, const std::vector<std::string>& aliases);
  std::shared_ptr<Store> open_registered(const StoreEntry& entry) const;

  std::vector<StoreEntry> entries_;
  std::filesystem::path folder_;
  StoreSettings settings_;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace nearlite
