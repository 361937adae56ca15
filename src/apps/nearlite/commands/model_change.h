#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "../context.h"
#include "nearlite/databases/config.h"
#include "nearlite/databases/registry.h"

namespace nearlite::cli {

/// A store and where it is configured.
struct ModelChange {
  std::shared_ptr<const Registry> registry;
  StoreEntry entry;
  std::filesystem::path config;
  ConfigPlace place;
  bool dry_run = false;
};

/// Embeds all records of the store by `model` into files of their own, while searches go on with
/// the present ones, then writes the new model and generation to nearlite.toml: one step, before
/// which everybody sees the old vectors and after which the new ones. Interrupted, it goes on where
/// it stopped. A store without vectors only gets the new name. Returns the exit code.
int change_model(Context& context, const ModelChange& change, const std::string& model);

/// Brings the vectors before the last change up to date, and switches to them.
int roll_back_model(Context& context, const ModelChange& change);

/// Removes the vectors before the last change, and what nearlite.toml says of them. False if there
/// are none.
bool drop_previous_model(const ModelChange& change);

}  // namespace nearlite::cli
