#include "nearlite/databases/config.h"

#include <algorithm>
#include <array>
#include <map>

#include "config_text.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/memory_budget.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"
#include "nearlite/databases/seed_store.h"
#include "toml_source.h"

namespace nearlite {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{4} << 20;
constexpr std::size_t kMaxStores = 10'000;

class ConfigReader : private TomlSource {
 public:
  ConfigReader(std::filesystem::path file, ConfigPlace place)
      : TomlSource(std::move(file)), place_(place) {}

  Config read(std::string_view text) {
    const toml::table root = parse(text);
    config_.file = file();
    check_keys(root, {"defaults", "service", "store"}, "");
    if (const toml::node* node = root.get("service")) read_service(table_of(*node, "service"));
    if (const toml::node* node = root.get("defaults")) read_defaults(table_of(*node, "defaults"));
    const toml::node* stores = root.get("store");
    if (stores == nullptr) return std::move(config_);
    const toml::table& sections = table_of(*stores, "store");
    if (sections.size() > kMaxStores) {
      fail(*stores, std::to_string(sections.size()) + " stores, at most " +
                        std::to_string(kMaxStores) + " are taken");
    }
    for (auto&& [key, node] : sections) read_store(std::string(key.str()), node);
    std::stable_sort(config_.tables.begin(), config_.tables.end(),
                     [](const auto& a, const auto& b) { return a.line < b.line; });
    return std::move(config_);
  }

 private:
  std::string string_of(const toml::table& table, const std::string& key,
                        const std::string& fallback = {}) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return fallback;
    const toml::value<std::string>* value = node->as_string();
    if (value == nullptr) fail(*node, "\"" + key + "\" must be a string");
    if (value->get().find('\0') != std::string::npos) {
      fail(*node, "\"" + key + "\" holds a NUL character");
    }
    return value->get();
  }

  int generation_of(const toml::table& table, const std::string& key, int fallback) const {
    constexpr std::int64_t kMostGenerations = 1'000'000;
    const toml::node* node = table.get(key);
    if (node == nullptr) return fallback;
    const toml::value<std::int64_t>* value = node->as_integer();
    // 0, as the fallback: there is none.
    if (value == nullptr || value->get() < std::min(fallback, 1) || value->get() > kMostGenerations)
      fail(*node, "\"" + key + "\" must be a number from 1 to 1000000");
    return static_cast<int>(value->get());
  }

  std::vector<std::string> strings_of(const toml::table& table, const std::string& key) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return {};
    if (node->is_string()) return {string_of(table, key)};
    const toml::array* array = node->as_array();
    if (array == nullptr) fail(*node, "\"" + key + "\" must be a list of column names");
    std::vector<std::string> names;
    for (const toml::node& item : *array) {
      const toml::value<std::string>* name = item.as_string();
      if (name == nullptr || name->get().empty() || name->get().find('\0') != std::string::npos) {
        fail(item, "\"" + key + "\" must hold column names, in quotes");
      }
      if (std::find(names.begin(), names.end(), name->get()) != names.end()) {
        fail(item, "\"" + key + "\" names the column \"" + name->get() + "\" twice");
      }
      names.push_back(name->get());
    }
    if (names.empty()) fail(*node, "\"" + key + "\" is empty; leave it out or name a column");
    return names;
  }

  std::optional<Backend> backend_in(const toml::table& table) const {
    const std::string name = string_of(table, "backend");
    if (table.get("backend") == nullptr) return std::nullopt;
    try {
      return backend_of(name);
    } catch (const InvalidArgument& error) {
      fail(*table.get("backend"), error.what());
    }
  }

  std::string governance_in(const toml::table& table, const std::string& fallback) const {
    std::string value = string_of(table, "governance", fallback);
    if (value != "secrets" && value != "full" && value != "off") {
      fail(*table.get("governance"),
           "governance \"" + value + "\" is unknown; known: secrets, full, off");
    }
    return value;
  }

  void read_defaults(const toml::table& table) {
    check_keys(table, {"model", "backend", "memory_budget"}, " in [defaults]");
    config_.default_model = string_of(table, "model");
    config_.default_backend = backend_in(table);
    if (const toml::node* node = table.get("memory_budget")) {
      try {
        config_.memory_budget = MemoryBudget::parse_limit(string_of(table, "memory_budget"));
      } catch (const InvalidArgument& error) {
        fail(*node, std::string("memory_budget: ") + error.what());
      }
    }
  }

  void read_service(const toml::table& table) {
    check_keys(table, {"log_level"}, " in [service]");
    const std::string level = string_of(table, "log_level");
    const std::vector<std::string> known = {"", "debug", "info", "warning", "error", "off"};
    if (std::find(known.begin(), known.end(), level) == known.end()) {
      fail(*table.get("log_level"),
           "log_level \"" + level + "\" is unknown; known: debug, info, warning, error, off");
    }
    config_.service_log_level = level;
  }

  void read_store(const std::string& name, const toml::node& node) {
    const toml::table& section = table_of(node, "store." + name);
    try {
      check_store_name(name);
    } catch (const InvalidArgument& error) {
      fail(node, error.what());
    }
    const int line = static_cast<int>(node.source().begin.line);
    const auto [known, is_new] = lines_.emplace(to_lower_ascii(name), std::pair(name, line));
    if (!is_new) {
      fail(node, "the store \"" + name + "\" is the same as \"" + known->second.first +
                     "\" of line " + std::to_string(known->second.second) +
                     ": names must differ by more than case");
    }
    const bool declares_table = section.contains("table") || section.contains("database");
    if (is_seed_name(name) && place_ == ConfigPlace::kDataFolder) {
      if (declares_table) {
        fail(node, "\"" + name +
                       "\" is one of the six built-in stores; give the table another "
                       "name, or leave out database and table to set options of the built-in one");
      }
      check_keys(
          section,
          {"backend", "model", "governance", "generation", "previous_model", "previous_generation"},
          " in [store." + name + "]");
      config_.seeds.push_back(
          {.name = name,
           .backend = backend_in(section),
           .model = string_of(section, "model"),
           .governance = governance_in(section, "full"),
           .generation = generation_of(section, "generation", 1),
           .previous_model = string_of(section, "previous_model"),
           .previous_generation = generation_of(section, "previous_generation", 0),
           .line = line});
      return;
    }
    read_table(name, section, line);
  }

  void read_table(const std::string& name, const toml::table& section, int line) {
    check_keys(
        section,
        {"database", "table", "key", "text", "template", "vector", "where", "updated", "expose",
         "backend", "model", "governance", "generation", "previous_model", "previous_generation"},
        " in [store." + name + "]");
    for (const char* needed : {"database", "table"}) {
      if (string_of(section, needed).empty()) {
        fail(section, "[store." + name + "] needs " + needed + " = \"...\"");
      }
    }
    TableConfig store{.name = name,
                      .database = database_of(section),
                      .table = string_of(section, "table"),
                      .key = strings_of(section, "key"),
                      .text = strings_of(section, "text"),
                      .text_template = string_of(section, "template"),
                      .vector = string_of(section, "vector"),
                      .where = string_of(section, "where"),
                      .updated = string_of(section, "updated"),
                      .expose = strings_of(section, "expose"),
                      .backend = backend_in(section),
                      .model = string_of(section, "model"),
                      .governance = governance_in(section, "secrets"),
                      .generation = generation_of(section, "generation", 1),
                      .previous_model = string_of(section, "previous_model"),
                      .previous_generation = generation_of(section, "previous_generation", 0),
                      .line = line};
    const bool no_text = store.text.empty() && store.text_template.empty();
    if (store.text.empty() == store.text_template.empty() && (!no_text || store.vector.empty())) {
      fail(section, "[store." + name +
                        "] needs either text = [columns] or template = \"{column}\"" +
                        (store.text.empty() ? ", or vector = \"column\"" : ", not both"));
    }
    config_.tables.push_back(std::move(store));
  }

  std::filesystem::path database_of(const toml::table& section) const {
    const std::filesystem::path written = string_of(section, "database");
    const std::filesystem::path folder =
        std::filesystem::absolute(file()).lexically_normal().parent_path();
    std::filesystem::path database = (folder / written).lexically_normal();
    if (place_ == ConfigPlace::kDataFolder && written.is_relative() &&
        leads_outside(folder, database)) {
      fail(*section.get("database"), "the database " + written.string() +
                                         " is outside of the data folder; write an absolute path "
                                         "if that is meant");
    }
    if (database == file()) fail(*section.get("database"), "the database is this file itself");
    return database;
  }

  /// By name or by a symbolic link.
  static bool leads_outside(const std::filesystem::path& folder,
                            const std::filesystem::path& database) {
    const auto starts_outside = [](const std::filesystem::path& relative) {
      return relative.empty() || *relative.begin() == "..";
    };
    if (starts_outside(database.lexically_relative(folder))) return true;
    std::error_code failed;
    const auto real_folder = std::filesystem::weakly_canonical(folder, failed);
    const auto real_database = std::filesystem::weakly_canonical(database, failed);
    return starts_outside(real_database.lexically_relative(real_folder));
  }

  static bool is_seed_name(const std::string& name) {
    for (const SeedStoreKind& kind : seed_store_kinds()) {
      if (kind.name == to_lower_ascii(name)) return true;
    }
    return false;
  }

  ConfigPlace place_;
  Config config_;
  std::map<std::string, std::pair<std::string, int>> lines_;  // by lower-case name
};

}  // namespace

Config parse_config(std::string_view text, const std::filesystem::path& file, ConfigPlace place) {
  return ConfigReader(file, place).read(text);
}

Config read_config(const std::filesystem::path& file, ConfigPlace place) {
  std::string text;
  try {
    text = read_file(file, kMaxFileBytes);
  } catch (const CorruptData& error) {
    throw InvalidArgument(error.what());
  }
  return parse_config(text, file, place);
}

void check_store_name(std::string_view name) {
  const bool characters_fit = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
  if (characters_fit && !name.empty() && name.size() <= 64 && name[0] != '.' && name[0] != '-') {
    return;
  }
  throw InvalidArgument("\"" + std::string(utf8_prefix(name, 80)) +
                        "\" is no store name: 1 to 64 of A-Z a-z 0-9 _ . - are wanted, the first "
                        "none of . and -");
}

std::string default_store_name(std::string_view table, const std::filesystem::path& database,
                               const std::vector<std::string>& taken) {
  constexpr std::size_t kMaxName = 56;  // leaves room for a number
  const auto cleaned = [](std::string_view raw) {
    std::string name;
    for (const char c : raw) {
      const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
      // One character outside of ASCII becomes one _.
      if ((static_cast<unsigned char>(c) & 0xC0U) == 0x80U) continue;
      name += fits ? c : '_';
    }
    while (!name.empty() && (name[0] == '.' || name[0] == '-')) name.erase(0, 1);
    return name.substr(0, kMaxName);
  };
  const auto is_taken = [&](const std::string& name) {
    return std::any_of(taken.begin(), taken.end(), [&](const std::string& other) {
      return to_lower_ascii(other) == to_lower_ascii(name);
    });
  };
  std::string name = cleaned(table);
  if (name.empty()) name = "table";
  if (!is_taken(name)) return name;
  const std::string qualified =
      cleaned(cleaned(database.stem().string()).substr(0, kMaxName / 2) + "." + name);
  std::string candidate = qualified;
  for (int number = 2; is_taken(candidate); ++number) {
    candidate = qualified + "." + std::to_string(number);
  }
  return candidate;
}

void throw_unknown_store(const std::string& name, const Config& config) {
  std::vector<std::string> names;
  for (const TableConfig& table : config.tables) names.push_back(table.name);
  for (const SeedConfig& seed : config.seeds) names.push_back(seed.name);
  const auto near = nearest_name(name, names);
  throw NotFound(config.file.string() + " has no store \"" + name + "\"" +
                 (near ? "; did you mean \"" + *near + "\"?" : "") +
                 (names.empty() ? "" : " Stores: " + join_names(names)));
}

}  // namespace nearlite
