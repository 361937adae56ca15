#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace nearlite {

enum class LogLevel {
  kDebug,
  kInfo,
  kWarning,
  kError,
  kOff
};  // kOff: a sink's limit, never a record's level
/// "debug", "info", "warning", "error", "off"
std::string_view log_level_name(LogLevel level);
/// Throws InvalidArgument that lists them.
LogLevel log_level_of(std::string_view name);

using LogValue = std::variant<std::string, double, std::int64_t>;

/// One structured log line. Never holds the text of a record.
struct LogRecord {
  LogLevel level = LogLevel::kInfo;
  std::string message;
  std::vector<std::pair<std::string, LogValue>> fields;
};

/// Where log lines go. Called from any thread; does not throw.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(const LogRecord& record) noexcept = 0;
};

/// Drops every line; lives for the whole program.
LogSink& null_log_sink();

}  // namespace nearlite
