#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

namespace nearlite::server {

/// A bucket of requests per caller, filled at a steady rate. Remembers a bounded number of callers:
/// the one that was quiet for longest is forgotten, which only gives it a full bucket again. For
/// any number of threads.
class RateLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// per_second: at least 0.001; a full bucket holds `burst` requests, at least 1.
  RateLimit(double per_second, double burst, std::size_t most_callers = 65'536)
      : per_second_(per_second), burst_(burst), most_callers_(most_callers) {}

  /// 0: go on. Otherwise the request is one too many, and the seconds after which there is room.
  double take(const std::string& caller, Time now);
  std::size_t num_callers() const;

 private:
  struct Bucket {
    std::string caller;
    double requests;  // that may still come
    Time filled;
  };
  double per_second_;
  double burst_;
  std::size_t most_callers_;
  mutable std::mutex mutex_;
  std::list<Bucket> buckets_;  // the last that asked first
  std::unordered_map<std::string, std::list<Bucket>::iterator> bucket_of_;
};

}  // namespace nearlite::server
