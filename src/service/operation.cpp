#include "operation.h"

namespace nearlite::vector_service {

Operation::Operation(std::string function, std::string session_id, const Clock& clock, LogSink& log,
                     MetricsSink& metrics)
    : function_(std::move(function)),
      session_id_(std::move(session_id)),
      clock_(clock),
      log_(log),
      metrics_(metrics) {
  log_.write(line(LogLevel::kInfo, "start"));
}

Operation::~Operation() {
  metrics_.add("vector_service_calls_total", {{"function", function_}});
  metrics_.set("vector_service_latency_seconds", {{"function", function_}},
               stopwatch_.elapsed_ms() / 1000);
  if (!finished_) log_.write(line(LogLevel::kError, "error"));
}

void Operation::finished(std::size_t result_size) {
  finished_ = true;
  metrics_.set("vector_service_result_size", {{"function", function_}},
               static_cast<double>(result_size));
  LogRecord record = line(LogLevel::kInfo, "end");
  record.fields.emplace_back("latency", stopwatch_.elapsed_ms() / 1000);
  record.fields.emplace_back("result_size", static_cast<std::int64_t>(result_size));
  log_.write(record);
}

LogRecord Operation::line(LogLevel level, const char* what) const {
  const std::chrono::duration<double> since_epoch = clock_.now().time_since_epoch();
  return {level,
          function_ + " " + what,
          {{"session_id", session_id_}, {"timestamp", since_epoch.count()}}};
}

}  // namespace nearlite::vector_service
