#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "nearlite/service/embedding_backfill.h"
#include "nearlite/service/monotonic_clock.h"

namespace nearlite {

/// The right to schedule: of several processes over the same stores one has it.
class SchedulerLease {
 public:
  virtual ~SchedulerLease() = default;
  /// True if it is ours, from now on until the object is destroyed.
  virtual bool try_take() = 0;
};
/// A lock on files `.nearlite-scheduler.lock` in these folders. The system takes it back when the
/// process ends, however it ends. A folder that cannot be written to is passed over.
class FileLease : public SchedulerLease {
 public:
  explicit FileLease(std::vector<std::filesystem::path> folders);
  ~FileLease() override;
  FileLease(const FileLease&) = delete;
  FileLease& operator=(const FileLease&) = delete;
  bool try_take() override;

 private:
  std::vector<std::filesystem::path> folders_;
  std::vector<int> locks_;
  bool taken_ = false;
};

struct SchedulerOptions {
  std::chrono::duration<double> interval{86400};  // at least 1 s
  std::optional<std::size_t> batch_size{};        // nothing: 100
  std::optional<Backend> backend{};               // nothing: each store's own
  double jitter = 0;  // each run is later by up to this share of the interval: 0 to 0.5
};

/// What a scheduler works with; all of it must outlive the object.
struct SchedulerParts {
  std::function<std::vector<vector_service::StoreSource>()> sources;  // asked before each run
  const Clock& clock;
  const MonotonicClock& monotonic;
  vector_service::StatisticsSink& statistics;
  LogSink& log;
  MetricsSink& metrics;
  SchedulerLease& lease;
  std::function<double()> random;  // 0 to 1, for the jitter; empty: no jitter
};

/// Backfills at once and then after each interval. Never two runs at a time: what falls due during
/// a run is counted as skipped, and after a gap (the machine slept) one run makes up for all. A
/// store that fails is tried again later and later, at most 16 intervals; the others go on.
class EmbeddingScheduler {
 public:
  /// Throws InvalidArgument for options out of range.
  EmbeddingScheduler(SchedulerOptions options, SchedulerParts parts);
  /// Stops.
  ~EmbeddingScheduler();
  EmbeddingScheduler(const EmbeddingScheduler&) = delete;
  EmbeddingScheduler& operator=(const EmbeddingScheduler&) = delete;

  /// Starts run() on a thread of its own. Once.
  void start();
  /// The running batch is finished, what was embedded stays; returns when the thread has ended.
  void stop();
  /// The loop itself, on the calling thread, until a stop is requested.
  void run(const std::stop_token& stop);

  enum class Outcome { kSuccess, kPartial, kFailure };
  /// One run over the stores that are due.
  Outcome run_once(const std::stop_token& stop);

 private:
  struct Failing {
    std::size_t times = 0;
    MonotonicClock::time_point next_try;
  };
  bool wait_for_lease(const std::stop_token& stop);
  std::vector<vector_service::StoreSource> due_stores();
  Outcome note_results(const std::vector<vector_service::StoreBackfill>& results);
  void log(LogLevel level, const std::string& message, const std::string& store = {},
           const std::string& detail = {}) const;

  SchedulerOptions options_;
  SchedulerParts parts_;
  std::map<std::string, Failing> failing_;
  std::jthread thread_;
};

}  // namespace nearlite
