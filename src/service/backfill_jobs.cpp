#include "nearlite/service/backfill_jobs.h"

#include <algorithm>

#include "nearlite/base/error.h"

namespace nearlite::vector_service {
namespace {

constexpr std::size_t kMostWaiting = 16;
constexpr std::size_t kMostRemembered = 100;
constexpr std::size_t kMostEvents = 1000;  // older progress is dropped first

}  // namespace

struct BackfillJobs::Job {
  JobStatus status;
  std::vector<StoreSource> sources;
  BackfillRequest request;
  std::string idempotency_key;
  std::stop_source stop;
  std::vector<JobEvent> events;
  std::size_t num_events = 0;
  std::map<std::size_t, std::function<void()>> listeners;
  std::size_t next_listener = 1;

  bool ended() const {
    return status.state != JobState::kWaiting && status.state != JobState::kRunning;
  }
};

std::string_view job_state_name(JobState state) {
  switch (state) {
    case JobState::kWaiting:
      return "waiting";
    case JobState::kRunning:
      return "running";
    case JobState::kDone:
      return "done";
    case JobState::kFailed:
      return "failed";
    case JobState::kCancelled:
      break;
  }
  return "cancelled";
}

BackfillJobs::BackfillJobs(const Clock& clock, Runner run) : clock_(clock), run_(std::move(run)) {}

BackfillJobs::~BackfillJobs() { stop(); }

std::string BackfillJobs::start(std::vector<StoreSource> stores, BackfillRequest request,
                                const std::string& idempotency_key) {
  const std::scoped_lock lock(mutex_);
  if (!idempotency_key.empty()) {
    for (const auto& job : jobs_) {
      if (job->idempotency_key == idempotency_key) return job->status.id;
    }
  }
  const auto waiting = std::ranges::count_if(jobs_, [](const auto& job) { return !job->ended(); });
  if (stopping_) throw Unavailable("the service is stopping");
  if (static_cast<std::size_t>(waiting) >= kMostWaiting) {
    throw Unavailable(std::to_string(kMostWaiting) + " backfills are waiting already",
                      "try again when one of them has ended");
  }
  auto job = std::make_shared<Job>();
  job->status.id = "job-" + std::to_string(next_id_++);
  job->status.created_at = rfc3339(clock_.now());
  job->status.dry_run = request.options.dry_run;
  for (const StoreSource& store : stores) job->status.stores.push_back(store.name);
  job->sources = std::move(stores);
  job->request = std::move(request);
  job->request.options.stop = job->stop.get_token();
  job->idempotency_key = idempotency_key;
  jobs_.push_back(job);
  while (jobs_.size() > kMostRemembered && jobs_.front()->ended()) jobs_.pop_front();
  if (!worker_.joinable()) worker_ = std::jthread([this] { work(); });
  changed_.notify_all();
  return job->status.id;
}

void BackfillJobs::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    std::shared_ptr<Job> next;
    changed_.wait(lock, [&] {
      const auto found = std::ranges::find_if(
          jobs_, [](const auto& job) { return job->status.state == JobState::kWaiting; });
      next = found == jobs_.end() ? nullptr : *found;
      return stopping_ || next != nullptr;
    });
    if (next == nullptr) return;  // stopping, and nothing waits
    next->status.state = JobState::kRunning;
    lock.unlock();
    run(next);
    lock.lock();
  }
}

void BackfillJobs::run(const std::shared_ptr<Job>& job) {
  BackfillObserver observer;
  observer.begin = [&](const StoreSource& source, std::size_t, std::size_t) {
    const std::scoped_lock lock(mutex_);
    job->status.running_store = source.name;
    job->status.progress.reset();
    add_event(*job, {0, "store", source.name, {}, {}});
  };
  observer.progress = [&](const StoreSource& source, const BackfillProgress& progress) {
    const std::scoped_lock lock(mutex_);
    job->status.progress = progress;
    add_event(*job, {0, "progress", source.name, progress, {}});
  };
  observer.end = [&](const StoreBackfill& result) {
    const std::scoped_lock lock(mutex_);
    job->status.results.push_back(result);
    add_event(*job, {0, "result", result.store, {}, result});
  };
  bool failed = false;
  bool stopped = job->stop.stop_requested();
  if (!stopped) {
    try {
      const auto results = run_(job->sources, job->request, observer);
      failed =
          std::ranges::any_of(results, [](const auto& one) { return one.failure.has_value(); });
    } catch (const std::exception&) {
      failed = true;
    }
    stopped = job->stop.stop_requested();
  }
  const std::scoped_lock lock(mutex_);
  job->status.state = stopped ? JobState::kCancelled : failed ? JobState::kFailed : JobState::kDone;
  job->status.running_store.clear();
  job->status.progress.reset();
  job->status.finished_at = rfc3339(clock_.now());
  add_event(*job, {0, "end", {}, {}, {}});
}

void BackfillJobs::add_event(Job& job, JobEvent event) {
  event.number = ++job.num_events;
  if (job.events.size() >= kMostEvents) {
    const auto old = std::ranges::find(job.events, "progress", &JobEvent::kind);
    if (old != job.events.end()) job.events.erase(old);
  }
  job.events.push_back(std::move(event));
  for (const auto& [number, listener] : job.listeners) listener();
}

std::shared_ptr<BackfillJobs::Job> BackfillJobs::find(const std::string& id) const {
  for (const auto& job : jobs_) {
    if (job->status.id == id) return job;
  }
  return nullptr;
}

std::optional<JobStatus> BackfillJobs::status(const std::string& id) const {
  const std::scoped_lock lock(mutex_);
  const auto job = find(id);
  return job ? std::optional(job->status) : std::nullopt;
}

std::vector<JobStatus> BackfillJobs::list() const {
  const std::scoped_lock lock(mutex_);
  std::vector<JobStatus> all;
  for (auto job = jobs_.rbegin(); job != jobs_.rend(); ++job) all.push_back((*job)->status);
  return all;
}

bool BackfillJobs::cancel(const std::string& id) {
  const std::scoped_lock lock(mutex_);
  const auto job = find(id);
  if (!job || job->ended()) return false;
  job->stop.request_stop();
  if (job->status.state == JobState::kWaiting) {
    job->status.state = JobState::kCancelled;
    job->status.finished_at = rfc3339(clock_.now());
    add_event(*job, {0, "end", {}, {}, {}});
  }
  return true;
}

std::optional<BackfillJobs::Events> BackfillJobs::events_after(const std::string& id,
                                                               std::size_t after) const {
  const std::scoped_lock lock(mutex_);
  const auto job = find(id);
  if (!job) return std::nullopt;
  Events found;
  for (const JobEvent& event : job->events) {
    if (event.number > after) found.events.push_back(event);
  }
  found.ended = job->ended();
  return found;
}

std::size_t BackfillJobs::add_listener(const std::string& id, std::function<void()> listener) {
  const std::scoped_lock lock(mutex_);
  const auto job = find(id);
  if (!job) return 0;
  job->listeners.emplace(job->next_listener, std::move(listener));
  return job->next_listener++;
}

void BackfillJobs::remove_listener(const std::string& id, std::size_t number) {
  const std::scoped_lock lock(mutex_);
  if (const auto job = find(id)) job->listeners.erase(number);
}

void BackfillJobs::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    for (const auto& job : jobs_) {
      if (!job->ended()) job->stop.request_stop();
    }
    changed_.notify_all();
  }
  if (worker_.joinable()) worker_.join();
}

}  // namespace nearlite::vector_service
