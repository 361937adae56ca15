#include "environment.h"

#include <cstdlib>

namespace nearlite::cli {
namespace {

/// An empty variable counts as unset, as programs of this kind do.
std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

}  // namespace

Environment Environment::read() {
  Environment environment;
  environment.data_dir = variable("NEARLITE_DATA_DIR");
  environment.model = variable("NEARLITE_MODEL");
  environment.enhancement_database = variable("ENHANCEMENT_DB_PATH");
  environment.color = !variable("NO_COLOR") && variable("TERM").value_or("dumb") != "dumb";
  return environment;
}

}  // namespace nearlite::cli
