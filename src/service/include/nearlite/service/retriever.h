#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/log_sink.h"

namespace nearlite::vector_service {

/// The facade over retrieval: one question to a fixed set of open stores. One search at a time,
/// since a store's connection belongs to one thread at a time.
class Retriever {
 public:
  /// `clock` and `log` must outlive the object.
  explicit Retriever(std::vector<std::shared_ptr<Store>> stores,
                     const Clock& clock = system_clock(), LogSink& log = null_log_sink());

  /// As search_stores(). `session_id` goes to the log only.
  RetrievalResult search(std::string_view question, const RetrievalOptions& options = {},
                         const std::string& session_id = {});

 private:
  std::vector<std::shared_ptr<Store>> stores_;
  const Clock& clock_;
  LogSink& log_;
};

}  // namespace nearlite::vector_service
