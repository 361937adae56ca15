#include "worker_pool.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace nearlite {
namespace {

/// One call of run(). Lives on the caller's stack: helpers are counted in and out under the pool's
/// mutex.
struct Job {
  std::size_t num_items = 0;
  const std::function<void(const WorkerPool::Next&)>* work = nullptr;
  std::atomic<std::size_t> next_item{0};
  std::size_t wanted_helpers = 0;  // that may still join
  std::size_t busy_helpers = 0;
  std::mutex error_mutex;
  std::exception_ptr error;

  void take_part() noexcept {
    try {
      (*work)([this] { return std::min(next_item.fetch_add(1), num_items); });
    } catch (...) {
      next_item = num_items;
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
  }
};

}  // namespace

struct WorkerPool::Shared {
  pid_t owner = ::getpid();
  std::mutex mutex;
  std::condition_variable has_job;
  std::condition_variable job_left;
  std::deque<Job*> jobs;  // that still want helpers
  std::vector<std::thread> helpers;
  bool stopping = false;

  void help() {
    std::unique_lock lock(mutex);
    while (true) {
      has_job.wait(lock, [this] { return stopping || !jobs.empty(); });
      if (stopping) return;
      Job& job = *jobs.front();
      ++job.busy_helpers;
      if (--job.wanted_helpers == 0) jobs.pop_front();
      lock.unlock();
      job.take_part();
      lock.lock();
      --job.busy_helpers;
      job_left.notify_all();
    }
  }
};

WorkerPool::WorkerPool(std::size_t num_workers)
    : num_workers_(std::max<std::size_t>(num_workers, 1)), shared_(std::make_unique<Shared>()) {}

WorkerPool::~WorkerPool() {
  if (shared_->owner != ::getpid()) {
    // A forked child has no helpers to join, and destroying what they waited on would wait for them
    // for ever.
    static_cast<void>(shared_.release());
    return;
  }
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
  }
  shared_->has_job.notify_all();
  for (std::thread& helper : shared_->helpers) helper.join();
}

void WorkerPool::start_helpers() {
  // Signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    while (shared_->helpers.size() + 1 < num_workers_) {
      shared_->helpers.emplace_back([shared = shared_.get()] { shared->help(); });
    }
  } catch (const std::system_error&) {
    // No more threads are to be had: those that there are do the work, the calling one at least.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void WorkerPool::run(std::size_t num_items, const std::function<void(const Next&)>& work) {
  Job job;
  job.num_items = num_items;
  job.work = &work;
  const bool with_helpers = num_items > 1 && num_workers_ > 1 && shared_->owner == ::getpid();
  if (with_helpers) {
    const std::lock_guard lock(shared_->mutex);
    start_helpers();
    job.wanted_helpers = std::min(num_items - 1, shared_->helpers.size());
    if (job.wanted_helpers > 0) shared_->jobs.push_back(&job);
  }
  if (with_helpers) shared_->has_job.notify_all();
  job.take_part();
  if (with_helpers) {
    std::unique_lock lock(shared_->mutex);
    std::erase(shared_->jobs, &job);  // helpers that did not come yet need not come any more
    shared_->job_left.wait(lock, [&] { return job.busy_helpers == 0; });
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace nearlite
