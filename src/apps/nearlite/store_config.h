#pragma once

#include <filesystem>

#include "context.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/registry.h"

namespace nearlite::cli {

/// Where a store is configured: the nearlite.toml that names it.
struct StoreConfig {
  std::filesystem::path file;
  ConfigPlace place;
};

/// That of the data folder.
StoreConfig folder_config(const Context& context);
StoreConfig config_of(const Context& context, const StoreEntry& entry);

}  // namespace nearlite::cli
