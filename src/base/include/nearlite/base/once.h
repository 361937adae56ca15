#pragma once

#include <atomic>
#include <mutex>
#include <utility>

namespace nearlite {

/// Runs something once, and again at the next call if it threw. As std::call_once, which this is
/// instead of: an exception that passes pthread_once makes the C library load its unwinder, and end
/// the process if there is no memory left to do so. Thread-safe; must not be called from within.
class Once {
 public:
  template <typename Function>
  void call(Function&& function) {
    if (done_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(mutex_);
    if (done_.load(std::memory_order_relaxed)) return;
    std::forward<Function>(function)();
    done_.store(true, std::memory_order_release);
  }

 private:
  std::atomic<bool> done_{false};
  std::mutex mutex_;
};

}  // namespace nearlite
