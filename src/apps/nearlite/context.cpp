#include "context.h"

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

/// JSON lines on stderr, keys as OpenTelemetry names them. Everything outside ASCII is escaped, so
/// that no reader takes a character of a name for the end of a line.
class StderrLog : public LogSink {
 public:
  explicit StderrLog(LogLevel least) : least_(least) {}
  void write(const LogRecord& record) noexcept override {
    if (record.level < least_) return;
    try {
      Json line = {{"timestamp", rfc3339(system_clock().now())},
                   {"severity_text", upper(log_level_name(record.level))},
                   {"body", cut(record.message)},
                   {"service.name", "nearlite"},
                   {"service.version", NEARLITE_VERSION}};
      for (const auto& [name, value] : record.fields) {
        if (const auto* text = std::get_if<std::string>(&value)) {
          line[name] = cut(*text);
        } else {
          std::visit([&, &key = name](const auto& plain) { line[key] = plain; }, value);
        }
      }
      write_message(line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n");
    } catch (const std::exception&) {
      write_message("nearlite: out of memory while logging\n");
    }
  }

 private:
  LogLevel least_;
};

}  // namespace

Context::Context(Environment env) : environment(std::move(env)) { open_log(); }

void Context::open_log() { log_ = std::make_unique<StderrLog>(options.log_level); }

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

EncoderOptions Context::encoder_options() const {
  EncoderOptions encoder;
  encoder.threads = options.threads;
  return encoder;
}

}  // namespace nearlite::cli
