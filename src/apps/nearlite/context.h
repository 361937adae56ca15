#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "environment.h"
#include "json.h"
#include "nearlite/databases/registry.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/service/log_sink.h"
#include "output.h"

namespace nearlite::cli {

/// Options that every command has, before or after its name.
struct GlobalOptions {
  std::string data_dir;
  std::string config;
  std::string memory_budget;
  bool json = false;
  bool jsonl = false;
  bool quiet = false;
  bool yes = false;
  std::size_t threads = 0;  // 0: one per available processor
  LogLevel log_level = LogLevel::kOff;
  bool log_level_given = false;
  bool log_ecs = false;  // field names of the Elastic Common Schema instead of OpenTelemetry's
};

/// What a command works with: options, environment, and where its words go.
class Context {
 public:
  explicit Context(Environment environment);
  ~Context();

  GlobalOptions options;
  const Environment environment;
  Output out;

  bool machine_form() const noexcept { return options.json || options.jsonl; }
  /// Colors and marks on stdout.
  bool marks() const noexcept { return out.is_terminal() && environment.color && !machine_form(); }

  /// One line on stderr, "nearlite: ..."; control characters are escaped. Nothing with --quiet.
  void note(std::string_view message) const;
  /// The same in spite of --quiet: something failed.
  void warn(std::string_view message) const;
  /// --json: one document. --jsonl: one line.
  void put_json(const Json& json);

  /// The data folder: --data-dir, NEARLITE_DATA_DIR, the current folder.
  std::filesystem::path data_folder() const;
  /// The default model: NEARLITE_MODEL, else the library's.
  std::string default_model() const;
  ModelPlaces model_places() const;
  EncoderOptions encoder_options() const;
  /// Of all stores of the process: --memory-budget, NEARLITE_MEMORY_BUDGET, else what nearlite.toml
  /// says, else half of the machine's memory. Throws InvalidArgument for what is no size.
  std::shared_ptr<MemoryBudget> memory() const;
  bool memory_is_given() const {
    return !options.memory_budget.empty() || environment.memory_budget.has_value();
  }
  LogSink& log() noexcept;
  void open_log();  // once the options are known
  /// From any thread; the log stays the same object.
  void set_log_level(LogLevel level) noexcept;

 private:
  class StderrLog;
  std::unique_ptr<StderrLog> log_;
  mutable std::shared_ptr<MemoryBudget> memory_;
};

}  // namespace nearlite::cli
