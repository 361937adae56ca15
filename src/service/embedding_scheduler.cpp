#include "nearlite/service/embedding_scheduler.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

using vector_service::BackfillStatistics;
using vector_service::StoreBackfill;
using vector_service::StoreSource;
using Duration = std::chrono::steady_clock::duration;

constexpr std::size_t kMostBackoff = 16;  // intervals
constexpr std::chrono::seconds kLeasePoll{30};

class RealMonotonicClock : public MonotonicClock {
 public:
  time_point now() const override { return std::chrono::steady_clock::now(); }
  bool wait_until(time_point time, const std::stop_token& stop) const override {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any stopped;
    stopped.wait_until(lock, stop, time, [] { return false; });
    return !stop.stop_requested();
  }
};

/// Keeps runs that changed nothing out of the statistics: there is one every interval.
class ChangesOnly : public vector_service::StatisticsSink {
 public:
  explicit ChangesOnly(StatisticsSink& inner) : inner_(inner) {}
  void record(const std::filesystem::path& file, const BackfillStatistics& statistics) override {
    if (statistics.result.embedded + statistics.result.removed > 0) inner_.record(file, statistics);
  }
  void record_embeddings(const std::filesystem::path& file,
                         const vector_service::EmbeddingStatistics& statistics) override {
    inner_.record_embeddings(file, statistics);
  }

 private:
  StatisticsSink& inner_;
};

}  // namespace

const MonotonicClock& monotonic_clock() {
  static const RealMonotonicClock clock;
  return clock;
}

FileLease::FileLease(std::vector<std::filesystem::path> folders) : folders_(std::move(folders)) {
  std::ranges::sort(folders_);  // all processes in the same order
  folders_.erase(std::unique(folders_.begin(), folders_.end()), folders_.end());
}

FileLease::~FileLease() {
  for (const int lock : locks_) close(lock);
}

bool FileLease::try_take() {
  if (taken_) return true;
  std::vector<int> locks;
  for (const std::filesystem::path& folder : folders_) {
    const int fd = open((folder / ".nearlite-scheduler.lock").c_str(),
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) continue;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      close(fd);
      for (const int lock : locks) close(lock);
      return false;
    }
    locks.push_back(fd);
  }
  locks_ = std::move(locks);
  taken_ = true;
  return true;
}

EmbeddingScheduler::EmbeddingScheduler(SchedulerOptions options, SchedulerParts parts)
    : options_(options), parts_(std::move(parts)) {
  if (!(options_.interval.count() >= 1))
    throw InvalidArgument("the scheduler's interval is less than 1 s");
  if (!(options_.jitter >= 0 && options_.jitter <= 0.5))
    throw InvalidArgument("the scheduler's jitter is not from 0 to 0.5");
}

EmbeddingScheduler::~EmbeddingScheduler() { stop(); }

void EmbeddingScheduler::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void EmbeddingScheduler::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void EmbeddingScheduler::log(LogLevel level, const std::string& message, const std::string& store,
                             const std::string& detail) const {
  LogRecord record{level, message, {}};
  if (!store.empty()) record.fields.emplace_back("store", store);
  if (!detail.empty()) record.fields.emplace_back("exception.message", detail);
  parts_.log.write(record);
}

bool EmbeddingScheduler::wait_for_lease(const std::stop_token& stop) {
  bool told = false;
  while (!stop.stop_requested() && !parts_.lease.try_take()) {
    if (!told) log(LogLevel::kInfo, "another process schedules these stores, this one stands by");
    told = true;
    const Duration poll =
        std::min<Duration>(kLeasePoll, std::chrono::duration_cast<Duration>(options_.interval));
    if (!parts_.monotonic.wait_until(parts_.monotonic.now() + poll, stop)) return false;
  }
  return !stop.stop_requested();
}

void EmbeddingScheduler::run(const std::stop_token& stop) {
  if (!wait_for_lease(stop)) return;
  const auto interval = std::chrono::duration_cast<Duration>(options_.interval);
  auto due = parts_.monotonic.now();
  while (!stop.stop_requested()) {
    run_once(stop);
    const auto now = parts_.monotonic.now();
    due += interval;
    if (due <= now) {  // the run took longer, or the machine slept: what was missed is not made up
      const auto missed = (now - due) / interval + 1;
      parts_.metrics.add("embedding_scheduler_runs_total", {{"status", "skipped"}},
                         static_cast<double>(missed));
      due += missed * interval;
    }
    const auto later = std::chrono::duration_cast<Duration>(
        options_.interval * (parts_.random ? options_.jitter * parts_.random() : 0.0));
    parts_.metrics.set("embedding_scheduler_next_run_seconds", {},
                       std::chrono::duration<double>(due + later - now).count());
    if (!parts_.monotonic.wait_until(due + later, stop)) return;
    // A wait that ended far too late stands for all the runs in between.
    const auto woke = parts_.monotonic.now();
    if (woke >= due + interval) {
      const auto missed = (woke - due) / interval;
      parts_.metrics.add("embedding_scheduler_runs_total", {{"status", "skipped"}},
                         static_cast<double>(missed));
      due += missed * interval;
    }
  }
}

std::vector<StoreSource> EmbeddingScheduler::due_stores() {
  std::vector<StoreSource> stores = parts_.sources();
  const auto now = parts_.monotonic.now();
  std::erase_if(stores, [&](const StoreSource& store) {
    const auto failing = failing_.find(store.name);
    return failing != failing_.end() && now < failing->second.next_try;
  });
  return stores;
}

EmbeddingScheduler::Outcome EmbeddingScheduler::run_once(const std::stop_token& stop) {
  const auto started = parts_.monotonic.now();
  Outcome outcome = Outcome::kFailure;
  try {
    vector_service::BackfillRequest request;
    request.session_id = "scheduler-" + rfc3339(parts_.clock.now());
    request.trigger = "auto";
    request.backend = options_.backend;
    request.options.batch_size = options_.batch_size.value_or(request.options.batch_size);
    request.options.stop = stop;
    ChangesOnly statistics(parts_.statistics);
    vector_service::EmbeddingBackfill backfill(parts_.clock, statistics, parts_.log,
                                               parts_.metrics);
    outcome = note_results(backfill.run(due_stores(), request));
  } catch (const std::exception& error) {  // a nearlite.toml that cannot be read, no memory
    log(LogLevel::kError, "scheduled run failed", {}, error.what());
  }
  const char* status = outcome == Outcome::kSuccess   ? "success"
                       : outcome == Outcome::kPartial ? "partial"
                                                      : "failure";
  parts_.metrics.add("embedding_scheduler_runs_total", {{"status", status}});
  parts_.metrics.set("embedding_scheduler_run_duration_seconds", {},
                     std::chrono::duration<double>(parts_.monotonic.now() - started).count());
  return outcome;
}

EmbeddingScheduler::Outcome EmbeddingScheduler::note_results(
    const std::vector<StoreBackfill>& results) {
  std::size_t failed = 0;
  for (const StoreBackfill& result : results) {
    if (!result.failure) {
      failing_.erase(result.store);
      continue;
    }
    ++failed;
    Failing& failing = failing_[result.store];
    const std::size_t intervals =
        std::min(std::size_t{1} << std::min<std::size_t>(failing.times, 8), kMostBackoff);
    ++failing.times;
    // A little less than whole intervals, so that the run at that moment takes it.
    failing.next_try =
        parts_.monotonic.now() + std::chrono::duration_cast<Duration>(
                                     options_.interval * (static_cast<double>(intervals) - 0.5));
    log(LogLevel::kWarning,
        "store is tried again after " + std::to_string(intervals) +
            (intervals == 1 ? " interval" : " intervals"),
        result.store);
  }
  if (failed == 0) return Outcome::kSuccess;
  return failed == results.size() ? Outcome::kFailure : Outcome::kPartial;
}

}  // namespace nearlite
