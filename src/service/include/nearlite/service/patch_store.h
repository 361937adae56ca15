#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/store/connection.h"

namespace nearlite::vector_service {

/// A piece of work that was done with the help of vectors, and what became of it.
struct PatchRecord {
  std::string patch_id{};
  std::string summary{};
  std::string diff{};
  std::string outcome{};
  std::string roi_tag{};
  double roi_delta = 0;
  double enhancement_score = 0;
  std::size_t lines_changed = 0;
  std::size_t tests_passed = 0;
  std::size_t context_tokens = 0;
  double patch_difficulty = 0;
  double time_to_completion = 0;  // seconds
  std::size_t error_trace_count = 0;
  double effort_estimate = 0;
  std::vector<std::string> errors{};
  bool result = false;
  std::string ts{};  // RFC 3339 UTC; empty when it is stored: now
};

/// A patch near to a question.
struct PatchMatch {
  PatchRecord patch{};
  double cosine = 0;
};

/// Where patches are kept and found again.
class PatchStore {
 public:
  virtual ~PatchStore() = default;
  /// Stores it, replacing the one of that id; with a vector ([dim] floats, length 1, of the model
  /// `model`) it can be found. Throws Error.
  virtual void put(const PatchRecord& patch, std::span<const float> vector,
                   const std::string& model) = 0;
  /// The k nearest of that model, nearest first.
  virtual std::vector<PatchMatch> nearest(std::span<const float> vector, const std::string& model,
                                          std::size_t k) = 0;
};

/// How much origins and single vectors are trusted: 0 to 1.
class WeightStore {
 public:
  virtual ~WeightStore() = default;
  virtual std::map<std::string, double> db_weights() = 0;
  /// Nothing for one that was never adjusted.
  virtual std::optional<double> vector_weight(const std::string& vector_id) = 0;
  /// clamp(old (1 if new) + delta, 0, 1); the new one.
  virtual double adjust_db(const std::string& db, double delta) = 0;
  virtual double adjust_vector(const std::string& vector_id, double delta) = 0;
  /// Divides the weights of origins by their sum, if that is positive.
  virtual void normalize_dbs() = 0;
};

/// Questions whose outcome is not known yet: session -> JSON.
class SessionStore {
 public:
  virtual ~SessionStore() = default;
  virtual void keep(const std::string& session_id, const std::string& json) = 0;
  virtual std::optional<std::string> find(const std::string& session_id) = 0;
  virtual void forget(const std::string& session_id) = 0;
};

/// All three in one SQLite file, vector_metrics.db of the reference: tables patch_metrics,
/// ranking_weights, vector_weights, vector_metrics (rows `ranker`) and pending_sessions, patches
/// with their vectors in patch_vectors. For any number of threads.
class VectorMetricsDb : public PatchStore, public WeightStore, public SessionStore {
 public:
  /// Makes the file and what it lacks. Throws as Connection::open.
  explicit VectorMetricsDb(const std::filesystem::path& file, const Clock& clock = system_clock());

  void put(const PatchRecord& patch, std::span<const float> vector,
           const std::string& model) override;
  std::vector<PatchMatch> nearest(std::span<const float> vector, const std::string& model,
                                  std::size_t k) override;
  std::map<std::string, double> db_weights() override;
  std::optional<double> vector_weight(const std::string& vector_id) override;
  double adjust_db(const std::string& db, double delta) override;
  double adjust_vector(const std::string& vector_id, double delta) override;
  void normalize_dbs() override;
  void keep(const std::string& session_id, const std::string& json) override;
  std::optional<std::string> find(const std::string& session_id) override;
  void forget(const std::string& session_id) override;

 private:
  double adjust(const char* table, const char* key, const std::string& name, double delta);

  std::mutex mutex_;
  Connection db_;
  const Clock& clock_;
};

}  // namespace nearlite::vector_service
