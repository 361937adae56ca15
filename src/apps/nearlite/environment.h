#pragma once

#include <optional>
#include <string>

namespace nearlite::cli {

/// What the program takes from the environment; read once, here and nowhere else
/// (ModelPlaces::from_environment() reads the variables of the model caches when it is called from
/// context.cpp).
struct Environment {
  std::optional<std::string> data_dir;              // NEARLITE_DATA_DIR
  std::optional<std::string> model;                 // NEARLITE_MODEL
  std::optional<std::string> enhancement_database;  // ENHANCEMENT_DB_PATH
  bool color = true;                                // not NO_COLOR, not TERM=dumb

  static Environment read();
};

}  // namespace nearlite::cli
