#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nearlite/service/embedding_scheduler.h"

namespace nearlite {

/// Environment variables that a program hands in: the library reads none by itself.
struct Environment {
  std::map<std::string, std::string> variables{};
  /// Those of this process that begin with EMBEDDING_SCHEDULER_ or NEARLITE_.
  static Environment read();
  /// Without the blanks around it; an empty one counts as unset.
  std::optional<std::string> get(const std::string& name) const;
};

/// What the variables say about the scheduler:
///   EMBEDDING_SCHEDULER_INTERVAL    seconds, 0 = off, default 86400
///   EMBEDDING_SCHEDULER_BATCH_SIZE  1 to 10000
///   EMBEDDING_SCHEDULER_BACKEND     auto, annoy, faiss, flat or graph
///   EMBEDDING_SCHEDULER_DBS         stores separated by commas (also _SOURCES), default all
///   EMBEDDING_SCHEDULER_JITTER      share of the interval, 0 to 0.5
struct SchedulerSettings {
  bool enabled = true;
  SchedulerOptions options{};
  std::vector<std::string> dbs{};    // empty: all
  std::vector<std::string> notes{};  // what somebody should know, e.g. a variable that nobody reads
  /// Throws InvalidArgument that names variable and value.
  static SchedulerSettings from(const Environment& environment);
};

/// Whether a store is meant by this name: case, a plural s and the suffix DB do not count.
bool store_is_called(const vector_service::StoreSource& store, const std::string& name);
/// Those of the stores that the names mean, all for none. Throws InvalidArgument that lists the
/// known ones.
std::vector<vector_service::StoreSource> chosen_stores(
    std::vector<vector_service::StoreSource> stores, const std::vector<std::string>& names);

/// What a program runs beside itself. Stops when destroyed.
class Runtime {
 public:
  Runtime();
  ~Runtime();
  Runtime(Runtime&&) noexcept;
  Runtime& operator=(Runtime&&) noexcept;

  /// nullptr when it is switched off.
  EmbeddingScheduler* scheduler() const noexcept;
  const std::vector<std::string>& notes() const noexcept;
  /// Stops after the running batch.
  void stop();

 private:
  friend struct RuntimeMaker;
  struct State;
  std::unique_ptr<State> state_;
};

/// What bootstrap() uses instead of its own; what is set must outlive the Runtime.
struct BootstrapParts {
  /// Default: the stores of the folder NEARLITE_DATA_DIR, else the current one.
  std::function<std::vector<vector_service::StoreSource>()> sources{};
  const Clock* clock = nullptr;
  const MonotonicClock* monotonic = nullptr;
  vector_service::StatisticsSink* statistics = nullptr;
  LogSink* log = nullptr;
  MetricsSink* metrics = nullptr;
};

/// Starts the scheduler when its interval is positive. Throws InvalidArgument for variables that
/// make no sense, before anything runs; NotFound for a data folder that is not there.
Runtime bootstrap(const Environment& environment, BootstrapParts parts = {});

}  // namespace nearlite
