#pragma once

#include <chrono>
#include <stop_token>

namespace nearlite {

/// Time that only goes forward, and waiting for it; injected so that tests need no real time.
class MonotonicClock {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  virtual ~MonotonicClock() = default;
  virtual time_point now() const = 0;
  /// Returns when `time` has come or a stop is requested; true if it has come.
  virtual bool wait_until(time_point time, const std::stop_token& stop) const = 0;
};
/// The machine's; lives for the whole program.
const MonotonicClock& monotonic_clock();

}  // namespace nearlite
