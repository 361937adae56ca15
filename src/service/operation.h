#pragma once

#include <string>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"

namespace nearlite::vector_service {

/// Wraps one public operation of a facade: logs "<function> start", then "<function> end" with
/// latency (seconds) and result_size, or "<function> error" when it is left by an exception; counts
/// the call either way. Fields as in the seed: session_id, timestamp (epoch seconds).
class Operation {
 public:
  Operation(std::string function, std::string session_id, const Clock& clock, LogSink& log,
            MetricsSink& metrics = null_metrics());
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  void finished(std::size_t result_size);

 private:
  LogRecord line(LogLevel level, const char* what) const;

  std::string function_;
  std::string session_id_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
  Stopwatch stopwatch_;
  bool finished_ = false;
};

/// What one search says to the metrics: times, hits, the best rank and likeness of each origin.
void count_retrieval(const RetrievalResult& result, MetricsSink& metrics);

}  // namespace nearlite::vector_service
