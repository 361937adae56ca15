#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"

namespace nearlite::vector_service {

/// The facade over retrieval: one question to a fixed set of open stores. For any number of
/// threads.
class Retriever {
 public:
  /// `clock`, `log` and `metrics` must outlive the object.
  explicit Retriever(std::vector<std::shared_ptr<Store>> stores,
                     const Clock& clock = system_clock(), LogSink& log = null_log_sink(),
                     MetricsSink& metrics = null_metrics());

  /// As search_stores(). `session_id` goes to the log only.
  RetrievalResult search(std::string_view question, const RetrievalOptions& options = {},
                         const std::string& session_id = {}) const;
  /// As nearlite::search_by_vector().
  RetrievalResult search_by_vector(std::span<const float> vector,
                                   const RetrievalOptions& options = {},
                                   const std::string& session_id = {}) const;

 private:
  RetrievalResult counted(
      const std::string& session_id,
      const std::function<RetrievalResult(std::span<Store* const> stores)>& search) const;

  std::vector<std::shared_ptr<Store>> stores_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
};

}  // namespace nearlite::vector_service
