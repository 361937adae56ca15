#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

/// One [store.NAME] of a nearlite.toml: which rows of which table become vectors, and how
/// (interface.md §1).
struct TableConfig {
  std::string name{};
  /// Absolute once read; written relative to the file where it can be.
  std::filesystem::path database{};
  std::string table{};
  std::vector<std::string> key{};      // empty: the primary key, else rowid
  std::vector<std::string> text{};     // columns joined by a newline; NULL and blank ones left out
  std::string text_template{};         // or "{name}: {description}"; {{ and }} are braces
  std::string vector{};                // a BLOB column of float32: the store's own vectors
  std::string where{};                 // an SQL expression; empty: all rows
  std::string updated{};               // a column that changes with the row
  std::vector<std::string> expose{};   // empty: key and text columns
  std::optional<Backend> backend{};    // nothing: the default of the file, else auto
  std::string model{};                 // empty: the default of the file, else the library's
  std::string governance = "secrets";  // secrets, full, off
  // Written by a model change: the files of the vectors in use, and what a rollback returns to.
  int generation = 1;
  std::string previous_model{};
  int previous_generation = 0;  // 0: none
  int line = 0;                 // where its section starts; 0: not read from a file

  friend bool operator==(const TableConfig&, const TableConfig&) = default;
};

/// Options of a seed store in a nearlite.toml: [store.bot] without a table.
struct SeedConfig {
  std::string name{};
  std::optional<Backend> backend{};
  std::string model{};
  std::string governance = "full";
  int generation = 1;
  std::string previous_model{};
  int previous_generation = 0;
  int line = 0;
};

struct Config {
  std::filesystem::path file{};
  std::string default_model{};  // empty: the library's
  std::optional<Backend> default_backend{};
  std::string service_log_level{};  // [service] log_level; empty: as the command line says
  std::optional<std::uint64_t> memory_budget{};  // bytes, of all stores together
  std::vector<TableConfig> tables{};             // in the order of the file
  std::vector<SeedConfig> seeds{};
};

/// Where a nearlite.toml is. In a data folder a relative database path must stay inside the folder,
/// and the names of the six seed stores are theirs; in a sidecar folder the database is outside
/// ("../app.db") and a table may be named "bot".
enum class ConfigPlace { kDataFolder, kSidecar };

/// Reads a nearlite.toml. Throws InvalidArgument with file, line and column: wrong syntax, unknown
/// keys (with the nearest known one), wrong values, the same store twice (also when only the case
/// differs), paths out of the folder; NotFound if there is no such file.
Config read_config(const std::filesystem::path& file, ConfigPlace place = ConfigPlace::kDataFolder);

/// Appends a section to the file, which is made if it is missing; everything else keeps its bytes.
/// Throws InvalidArgument if the store is there already, or what read_config would refuse.
void add_store(const std::filesystem::path& file, const TableConfig& store,
               ConfigPlace place = ConfigPlace::kDataFolder);
/// Sets one key of [store.NAME] (the section is made for a seed store); comments and order stay.
/// `value` is plain text; lists of columns are separated by commas, or a JSON-like array. An empty
/// value removes the key. Throws NotFound for an unknown store, InvalidArgument for a key or value
/// that read_config would refuse; the file is unchanged then.
void set_store(const std::filesystem::path& file, const std::string& name, const std::string& key,
               const std::string& value, ConfigPlace place = ConfigPlace::kDataFolder);
/// Several keys at once: the file goes from the old state to the new one in one step.
void set_store(const std::filesystem::path& file, const std::string& name,
               const std::vector<std::pair<std::string, std::string>>& changes,
               ConfigPlace place = ConfigPlace::kDataFolder);
/// Removes the section. Throws NotFound for an unknown store.
void remove_store(const std::filesystem::path& file, const std::string& name,
                  ConfigPlace place = ConfigPlace::kDataFolder);

/// Throws InvalidArgument unless the name is 1 to 64 of A-Z a-z 0-9 _ . - and starts with none of .
/// and -
void check_store_name(std::string_view name);
/// The store name a table gets: its own name (other characters become _); if `taken` has it (case
/// ignored): file.table, then file.table.2 and so on.
std::string default_store_name(std::string_view table, const std::filesystem::path& database,
                               const std::vector<std::string>& taken);

}  // namespace nearlite
