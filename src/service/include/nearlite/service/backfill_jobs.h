#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "nearlite/service/embedding_backfill.h"

namespace nearlite::vector_service {

enum class JobState { kWaiting, kRunning, kDone, kFailed, kCancelled };
/// "waiting", "running", "done", "failed", "cancelled"
std::string_view job_state_name(JobState state);

/// Something that happened in a job; numbered from 1, without gaps.
struct JobEvent {
  std::size_t number = 0;
  std::string kind;  // "store", "progress", "result", "end"
  std::string store;
  std::optional<BackfillProgress> progress;
  std::optional<StoreBackfill> result;
};

/// A copy of what a job is at one moment.
struct JobStatus {
  std::string id;
  JobState state = JobState::kWaiting;
  std::vector<std::string> stores;
  bool dry_run = false;
  std::string created_at;   // RFC 3339 UTC
  std::string finished_at;  // empty: not yet
  std::string running_store;
  std::optional<BackfillProgress> progress;  // of the running store
  std::vector<StoreBackfill> results;
};

/// Backfills that callers start and watch: one runs at a time, in the order they came. The last 100
/// are remembered. For any number of threads.
class BackfillJobs {
 public:
  /// `run` does the work of one job, on the thread of the jobs.
  using Runner = std::function<std::vector<StoreBackfill>(
      std::span<const StoreSource>, const BackfillRequest&, const BackfillObserver&)>;
  BackfillJobs(const Clock& clock, Runner run);
  /// Stops after the running batch.
  ~BackfillJobs();
  BackfillJobs(const BackfillJobs&) = delete;
  BackfillJobs& operator=(const BackfillJobs&) = delete;

  /// The id of the new job, or of the one that was begun with the same non-empty `idempotency_key`.
  /// Throws Unavailable if too many wait.
  std::string start(std::vector<StoreSource> stores, BackfillRequest request,
                    const std::string& idempotency_key = {});
  std::optional<JobStatus> status(const std::string& id) const;
  /// Newest first.
  std::vector<JobStatus> list() const;
  /// False if there is no such job or it has ended.
  bool cancel(const std::string& id);
  /// Events behind number `after`, and whether the job has ended. Nothing for an unknown job.
  struct Events {
    std::vector<JobEvent> events;
    bool ended = false;
  };
  std::optional<Events> events_after(const std::string& id, std::size_t after) const;
  /// `listener` is called, on some thread, when there is something new; until it is removed.
  std::size_t add_listener(const std::string& id, std::function<void()> listener);
  void remove_listener(const std::string& id, std::size_t number);
  /// No new jobs; stops the running one after its batch and waits for it.
  void stop();

 private:
  struct Job;
  void work();
  void run(const std::shared_ptr<Job>& job);
  void add_event(Job& job, JobEvent event);
  std::shared_ptr<Job> find(const std::string& id) const;

  const Clock& clock_;
  Runner run_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> jobs_;  // oldest first
  std::size_t next_id_ = 1;
  bool stopping_ = false;
  std::jthread worker_;  // started with the first job
};

}  // namespace nearlite::vector_service
