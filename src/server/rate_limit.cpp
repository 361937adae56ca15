#include "rate_limit.h"

#include <algorithm>

namespace nearlite::server {

double RateLimit::take(const std::string& caller, Time now) {
  const std::scoped_lock lock(mutex_);
  const auto known = bucket_of_.find(caller);
  if (known == bucket_of_.end()) {
    if (buckets_.size() >= most_callers_) {
      bucket_of_.erase(buckets_.back().caller);
      buckets_.pop_back();
    }
    buckets_.push_front({caller, burst_ - 1, now});
    bucket_of_.emplace(caller, buckets_.begin());
    return 0;
  }
  buckets_.splice(buckets_.begin(), buckets_, known->second);
  Bucket& bucket = buckets_.front();
  const double seconds = std::chrono::duration<double>(now - bucket.filled).count();
  bucket.requests = std::min(burst_, bucket.requests + std::max(seconds, 0.0) * per_second_);
  bucket.filled = now;
  if (bucket.requests < 1) return (1 - bucket.requests) / per_second_;
  bucket.requests -= 1;
  return 0;
}

std::size_t RateLimit::num_callers() const {
  const std::scoped_lock lock(mutex_);
  return buckets_.size();
}

}  // namespace nearlite::server
