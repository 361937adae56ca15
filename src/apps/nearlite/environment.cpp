#include "environment.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace nearlite::cli {
namespace {

/// An empty variable counts as unset, as programs of this kind do.
std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

/// 0 for what is not a number: these variables are set by systemd, not by people.
std::size_t number(const char* name) {
  const std::string text = variable(name).value_or("");
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

}  // namespace

Environment Environment::read() {
  Environment environment;
  environment.data_dir = variable("NEARLITE_DATA_DIR");
  environment.model = variable("NEARLITE_MODEL");
  environment.memory_budget = variable("NEARLITE_MEMORY_BUDGET");
  environment.enhancement_database = variable("ENHANCEMENT_DB_PATH");
  environment.notify_socket = variable("NOTIFY_SOCKET");
  environment.watchdog_microseconds = number("WATCHDOG_USEC");
  if (number("LISTEN_PID") == static_cast<std::size_t>(getpid()))
    environment.listen_descriptors =
        static_cast<int>(std::min<std::size_t>(number("LISTEN_FDS"), 16));
  environment.color = !variable("NO_COLOR") && variable("TERM").value_or("dumb") != "dumb";
  return environment;
}

}  // namespace nearlite::cli
