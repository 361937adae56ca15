#include "context.h"

#include <atomic>
#include <cmath>
#include <map>

#include "nearlite/base/clock.h"
#include "nearlite/base/utf8.h"

namespace nearlite::cli {
namespace {

constexpr std::size_t kLongestField = 2048;  // bytes

/// What others wrote comes in short pieces only.
std::string cut(std::string_view text) { return std::string(utf8_prefix(text, kLongestField)); }

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
  return result;
}

/// The names of the Elastic Common Schema for those of OpenTelemetry; others stay.
std::string ecs_name(const std::string& name) {
  static const std::map<std::string, std::string, std::less<>> kNames = {
      {"trace_id", "trace.id"},
      {"span_id", "span.id"},
      {"exception.message", "error.message"},
      {"latency", "event.duration"}};
  const auto known = kNames.find(name);
  return known == kNames.end() ? name : known->second;
}

}  // namespace

/// JSON lines on stderr, keys as OpenTelemetry names them. Everything outside ASCII is escaped, so
/// that no reader takes a character of a name for the end of a line.
class Context::StderrLog : public LogSink {
 public:
  StderrLog(LogLevel least, bool ecs) : least_(least), ecs_(ecs) {}
  void set_level(LogLevel least) noexcept { least_ = least; }
  void write(const LogRecord& record) noexcept override {
    if (record.level < least_) return;
    try {
      Json line = ecs_ ? ecs_head(record) : open_telemetry_head(record);
      for (const auto& [name, value] : record.fields) {
        const std::string key = ecs_ ? ecs_name(name) : name;
        if (const auto* text = std::get_if<std::string>(&value)) {
          line[key] = cut(*text);
        } else if (const auto* number = std::get_if<double>(&value);
                   number && key == "event.duration") {
          line[key] = std::llround(*number * 1e9);  // nanoseconds
        } else {
          std::visit([&](const auto& plain) { line[key] = plain; }, value);
        }
      }
      write_message(line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n");
    } catch (const std::exception&) {
      write_message("nearlite: out of memory while logging\n");
    }
  }

 private:
  static Json open_telemetry_head(const LogRecord& record) {
    Json line = {{"timestamp", rfc3339(system_clock().now())},
                 {"severity_text", upper(log_level_name(record.level))},
                 {"body", cut(record.message)}};
    if (!record.event.empty()) line["event.name"] = record.event;
    line["service.name"] = "nearlite";
    line["service.version"] = NEARLITE_VERSION;
    return line;
  }
  static Json ecs_head(const LogRecord& record) {
    Json line = {{"@timestamp", rfc3339(system_clock().now())},
                 {"log.level", std::string(log_level_name(record.level))},
                 {"message", cut(record.message)},
                 {"ecs.version", "8.11.0"}};
    if (!record.event.empty()) line["event.action"] = record.event;
    line["service.name"] = "nearlite";
    line["service.version"] = NEARLITE_VERSION;
    return line;
  }

  std::atomic<LogLevel> least_;
  bool ecs_;
};

Context::~Context() = default;

LogSink& Context::log() noexcept { return *log_; }

Context::Context(Environment env) : environment(std::move(env)) { open_log(); }

void Context::open_log() { log_ = std::make_unique<StderrLog>(options.log_level, options.log_ecs); }

void Context::set_log_level(LogLevel level) noexcept { log_->set_level(level); }

void Context::note(std::string_view message) const {
  if (!options.quiet) warn(message);
}

void Context::warn(std::string_view message) const {
  write_message("nearlite: " + printable(message) + "\n");
}

void Context::put_json(const Json& json) { out.line(json_text(json)); }

std::filesystem::path Context::data_folder() const {
  if (!options.data_dir.empty()) return options.data_dir;
  return environment.data_dir.value_or(".");
}

std::string Context::default_model() const {
  return full_model_name(environment.model.value_or(""));
}

ModelPlaces Context::model_places() const { return ModelPlaces::from_environment(); }

std::shared_ptr<MemoryBudget> Context::memory() const {
  if (memory_) return memory_;
  if (!memory_is_given()) return memory_ = std::make_shared<MemoryBudget>();
  const std::string& given =
      options.memory_budget.empty() ? *environment.memory_budget : options.memory_budget;
  return memory_ = std::make_shared<MemoryBudget>(MemoryBudget::parse_limit(given));
}

EncoderOptions Context::encoder_options() const {
  EncoderOptions encoder;
  encoder.threads = options.threads;
  return encoder;
}

}  // namespace nearlite::cli
