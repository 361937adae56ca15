#pragma once

#include <ctime>

namespace nearlite {

/// Microseconds of processor time of this thread since construction: what a measurement on a busy
/// machine can compare, where the time of the wall mostly tells how many others wanted the
/// processor.
class ThreadStopwatch {
 public:
  double elapsed_us() const { return now_us() - start_; }

 private:
  static double now_us() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
  }
  double start_ = now_us();
};

}  // namespace nearlite
