#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace nearlite {

/// Threads that help the calling thread with a number of independent items. They are started at the
/// first need and kept. run() may be called from several threads at once; after fork() the child
/// works without helpers.
class WorkerPool {
 public:
  /// num_workers: threads that work on a run, the calling one included; at least 1.
  explicit WorkerPool(std::size_t num_workers);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  std::size_t num_workers() const noexcept { return num_workers_; }

  /// Calls work(next) in the calling thread and, when there is more than one item, in helpers.
  /// next() gives the index of an item that nobody has taken yet, in ascending order, or num_items
  /// when all are taken. Returns when every call has returned; the first exception is thrown here,
  /// and no further items are given out after it.
  using Next = std::function<std::size_t()>;
  void run(std::size_t num_items, const std::function<void(const Next& next)>& work);

 private:
  struct Shared;
  void start_helpers();

  std::size_t num_workers_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace nearlite
