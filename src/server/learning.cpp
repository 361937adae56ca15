#include "learning.h"

#include "nearlite/base/error.h"

namespace nearlite::server {

using vector_service::PatchSafety;
using vector_service::VectorMetricsDb;

std::filesystem::path Learning::folder() const {
  const auto sources = parts_.stores.sources();
  if (sources.empty()) throw NotFound("there is no store");
  return sources.front().metrics_file.parent_path();
}

VectorMetricsDb* Learning::open(bool create) {
  const std::scoped_lock lock(mutex_);
  if (!database_) {
    if (!create && parts_.stores.names().empty()) return nullptr;
    const std::filesystem::path file = folder() / "vector_metrics.db";
    if (!create && !std::filesystem::exists(file)) return nullptr;
    database_ = std::make_unique<VectorMetricsDb>(file, parts_.clock);
  }
  return database_.get();
}

VectorMetricsDb* Learning::known() { return open(false); }

VectorMetricsDb& Learning::made() { return *open(true); }

PatchSafety& Learning::safety() {
  const std::scoped_lock lock(mutex_);
  if (!safety_) {
    vector_service::PatchSafetySettings settings;
    // What a store's own rules let in is not kept out again.
    settings.license_denylist.clear();
    if (!parts_.stores.names().empty()) settings.storage_path = folder() / "failures.jsonl";
    safety_ = std::make_unique<PatchSafety>(parts_.encoder, settings, parts_.clock, parts_.metrics);
  }
  return *safety_;
}

}  // namespace nearlite::server
