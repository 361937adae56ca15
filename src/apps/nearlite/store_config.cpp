#include "store_config.h"

#include <algorithm>

#include "nearlite/databases/sidecar_folder.h"

namespace nearlite::cli {
namespace {

bool names_store(const StoreConfig& config_file, const std::string& name) {
  if (!std::filesystem::exists(config_file.file)) return false;
  const Config config = read_config(config_file.file, config_file.place);
  return std::ranges::any_of(config.tables,
                             [&](const TableConfig& table) { return table.name == name; });
}

}  // namespace

StoreConfig folder_config(const Context& context) {
  if (!context.options.config.empty()) return {context.options.config, ConfigPlace::kDataFolder};
  return {context.data_folder() / "nearlite.toml", ConfigPlace::kDataFolder};
}

StoreConfig config_of(const Context& context, const StoreEntry& entry) {
  StoreConfig folder = folder_config(context);
  if (entry.seed_store || names_store(folder, entry.name)) return folder;
  return {sidecar_config(entry.sidecar_folder), ConfigPlace::kSidecar};
}

}  // namespace nearlite::cli
