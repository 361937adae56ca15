#include "context.h"

#include "nearlite/base/clock.h"

namespace nearlite::cli {
namespace {

/// JSON lines on stderr.
class StderrLog : public LogSink {
 public:
  explicit StderrLog(LogLevel least) : least_(least) {}
  void write(const LogRecord& record) noexcept override {
    if (record.level < least_) return;
    try {
      Json line = {{"time", rfc3339(system_clock().now())},
                   {"level", log_level_name(record.level)},
                   {"message", record.message}};
      for (const auto& [name, value] : record.fields) {
        std::visit([&, &key = name](const auto& plain) { line[key] = plain; }, value);
      }
      write_message(json_text(line) + "\n");
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
