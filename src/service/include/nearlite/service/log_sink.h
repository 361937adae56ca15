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
  std::string event{};  // a name that does not change with the case: "http.request"; may be empty
};

/// Where log lines go. Called from any thread; does not throw.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(const LogRecord& record) noexcept = 0;
};

/// Adds the same fields to every line: what belongs to one request or run. A field that a line has
/// already stays as it is. `inner` must outlive the object.
class TaggedLog : public LogSink {
 public:
  using Fields = std::vector<std::pair<std::string, LogValue>>;
  TaggedLog(LogSink& inner, Fields fields) : inner_(inner), fields_(std::move(fields)) {}
  void write(const LogRecord& record) noexcept override;

 private:
  LogSink& inner_;
  Fields fields_;
};

/// Drops every line; lives for the whole program.
LogSink& null_log_sink();

}  // namespace nearlite
