#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace nearlite::cli {

/// What the program takes from the environment; read once, here and nowhere else
/// (ModelPlaces::from_environment() reads the variables of the model caches when it is called from
/// context.cpp).
struct Environment {
  std::optional<std::string> data_dir;              // NEARLITE_DATA_DIR
  std::optional<std::string> model;                 // NEARLITE_MODEL
  std::optional<std::string> memory_budget;         // NEARLITE_MEMORY_BUDGET
  std::optional<std::string> enhancement_database;  // ENHANCEMENT_DB_PATH
  std::optional<std::string> notify_socket;         // NOTIFY_SOCKET of systemd
  int listen_descriptors = 0;                       // LISTEN_FDS, if LISTEN_PID is this process
  std::size_t watchdog_microseconds = 0;            // WATCHDOG_USEC
  bool color = true;                                // not NO_COLOR, not TERM=dumb

  static Environment read();
};

}  // namespace nearlite::cli
