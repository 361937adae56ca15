#pragma once

#include <chrono>
#include <string>

namespace nearlite {

/// The time of day, injected so that tests can set it.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::system_clock::time_point now() const = 0;
};

/// The machine's clock; the object lives for the whole program.
const Clock& system_clock();

/// RFC 3339 in UTC with milliseconds: 2026-11-20T13:24:05.120Z
std::string rfc3339(std::chrono::system_clock::time_point time);
/// The other way; also takes a date alone and times without fraction or zone (then UTC).
/// Throws InvalidArgument for anything else.
std::chrono::system_clock::time_point parse_rfc3339(const std::string& text);

/// Milliseconds since construction, by the monotonic clock.
class Stopwatch {
 public:
  double elapsed_ms() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_)
        .count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace nearlite
