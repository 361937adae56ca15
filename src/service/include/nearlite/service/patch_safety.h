#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/retrieval/governed_hit.h"
#include "nearlite/service/metrics.h"

namespace nearlite::vector_service {

struct PatchSafetySettings {
  double threshold = 0.8;  // a similarity to a known failure from which on something is risky
  double max_alert_severity = 1.0;
  std::size_t max_alerts = 5;
  std::set<std::string> license_denylist = default_license_denylist();
  std::map<std::string, std::string> license_fingerprints{};  // of known texts -> their license
  std::filesystem::path storage_path{};  // JSON lines of failures; empty: kept in memory only
  std::chrono::seconds refresh_interval{3600};  // how long what was read from it is taken as it is
};

struct SafetyVerdict {
  bool passed = true;
  double score = 0;                       // 0 to 1 and more: likeness to failures on record
  std::map<std::string, double> risks{};  // origin -> highest cosine to its failures
};

/// Keeps out what governance refuses, and what resembles failures of the past. For any number of
/// threads. An error text is encoded only when there is a failure to compare it with.
class PatchSafety {
 public:
  /// `encoder` is not needed while no failure is recorded. The references must outlive the object.
  explicit PatchSafety(std::shared_ptr<const TextEncoder> encoder,
                       PatchSafetySettings settings = {}, const Clock& clock = system_clock(),
                       MetricsSink& metrics = null_metrics());

  /// Governance first (false, 0, {} when it refuses), then likeness: score = highest cosine of the
  /// error text to a failure; of an `origin` the likeness to its own failures is added.
  SafetyVerdict evaluate(const HitGovernance& flags, std::string_view error_text = {},
                         const std::string& origin = {});
  /// The part of governance alone.
  bool pre_embed_check(const HitGovernance& flags);
  /// Throws Unavailable if it cannot be stored.
  void record_failure(std::string_view error_text, const std::string& origin);
  /// Reads storage_path again when refresh_interval has passed, or `force` is set. Lines that are
  /// no failures, or those of another model, are passed over.
  void load_failures(bool force = false);
  std::size_t num_failures() const;

 private:
  struct Failure {
    std::vector<float> vector;  // [dim], length 1
    std::string origin;
  };
  std::vector<float> vector_of(std::string_view text) const;
  std::optional<const char*> violation_of(const HitGovernance& flags) const;

  std::shared_ptr<const TextEncoder> encoder_;
  PatchSafetySettings settings_;
  const Clock& clock_;
  MetricsSink& metrics_;
  mutable std::mutex mutex_;
  std::vector<Failure> failures_;
  std::optional<std::chrono::system_clock::time_point> loaded_at_;
};

}  // namespace nearlite::vector_service
