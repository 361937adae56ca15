#pragma once

#include <memory>
#include <mutex>

#include "nearlite/server/api.h"
#include "nearlite/service/patch_safety.h"
#include "nearlite/service/patch_store.h"

namespace nearlite::server {

/// What the service learned from outcomes: vector_metrics.db and failures.jsonl beside the
/// statistics of its first store. For any number of threads.
class Learning {
 public:
  /// The references in `parts` must outlive the object.
  explicit Learning(const ApiParts& parts) : parts_(parts) {}

  /// nullptr while nothing was learned: a question makes no files.
  vector_service::VectorMetricsDb* known();
  /// Makes the file. Throws NotFound without a store, else as Connection::open.
  vector_service::VectorMetricsDb& made();
  vector_service::PatchSafety& safety();

 private:
  vector_service::VectorMetricsDb* open(bool create);
  std::filesystem::path folder() const;

  const ApiParts& parts_;
  std::mutex mutex_;
  std::unique_ptr<vector_service::VectorMetricsDb> database_;
  std::unique_ptr<vector_service::PatchSafety> safety_;
};

}  // namespace nearlite::server
