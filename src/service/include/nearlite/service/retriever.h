#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/governed_hit.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"
#include "nearlite/service/monotonic_clock.h"
#include "nearlite/service/patch_safety.h"
#include "nearlite/service/retrieved.h"

namespace nearlite::vector_service {

/// Who answers: one question to the stores of these names or origins (empty: all).
using StoreSearch = std::function<RetrievalResult(
    std::string_view question, const RetrievalOptions& options, std::span<const std::string> dbs)>;

/// Stores as a StoreSearch. Throws InvalidArgument for a name that none of them has.
StoreSearch search_of(std::vector<std::shared_ptr<Store>> stores);

/// What is asked for. What is not set is as in RetrieverSettings.
struct RetrieverQuery {
  std::optional<std::size_t> top_k{};
  std::string session_id{};
  std::optional<double> similarity_threshold{};
  std::vector<std::string> dbs{};  // names or origins of stores; empty: all
  std::optional<bool> use_fts_fallback{};
  std::optional<double> max_alert_severity{};
  std::vector<std::string> exclude_tags{};
};

struct RetrieverSettings {
  std::size_t top_k = 5;
  double similarity_threshold = 0.1;
  bool use_fts_fallback = true;
  double max_alert_severity = 1.0;
  double risk_penalty = 1.0;
  std::map<std::string, double> roi_tag_weights{};  // taken off the score of a row with this tag
};

/// What a Retriever works with; all of it must outlive the object. Not set: it is done without.
struct RetrieverParts {
  StoreSearch search{};
  std::shared_ptr<const Gate> gate{};  // default: the built-in rules, all of them
  PatchSafety* safety = nullptr;
  RetrievalCache* cache = nullptr;
};

/// The facade over retrieval: one question to a fixed set of stores. For any number of threads.
class Retriever {
 public:
  /// `clock`, `log` and `metrics` must outlive the object.
  explicit Retriever(std::vector<std::shared_ptr<Store>> stores,
                     const Clock& clock = system_clock(), LogSink& log = null_log_sink(),
                     MetricsSink& metrics = null_metrics());
  /// Throws RetrieverConfigurationError without a search.
  Retriever(RetrieverParts parts, RetrieverSettings settings, const Clock& clock = system_clock(),
            const MonotonicClock& monotonic = monotonic_clock(), LogSink& log = null_log_sink(),
            MetricsSink& metrics = null_metrics());

  /// As search_stores(), ungoverned: for the owner of the rows. `session_id` goes to the log only.
  RetrievalResult search(std::string_view question, const RetrievalOptions& options,
                         const std::string& session_id = {}) const;
  /// As nearlite::search_by_vector(). Only of a Retriever made of stores.
  RetrievalResult search_by_vector(std::span<const float> vector,
                                   const RetrievalOptions& options = {},
                                   const std::string& session_id = {}) const;

  /// What may be shown of the answer: governed, less what is risky; twice as many are looked at
  /// when too few are good enough, then what holds the words. Throws MalformedPromptError for a
  /// blank question, RateLimitError, ServiceFailure.
  Retrieved search(std::string_view question, const RetrieverQuery& query = {}) const;
  std::future<Retrieved> search_async(std::string question, RetrieverQuery query = {}) const;
  /// search() in the stores of one origin.
  Retrieved search_bots(std::string_view question, RetrieverQuery query = {}) const;
  Retrieved search_workflows(std::string_view question, RetrieverQuery query = {}) const;
  Retrieved search_enhancements(std::string_view question, RetrieverQuery query = {}) const;
  Retrieved search_errors(std::string_view question, RetrieverQuery query = {}) const;

 private:
  RetrievalResult counted(const std::string& session_id,
                          const std::function<RetrievalResult()>& search) const;
  RetrievalResult ask(std::string_view question, const RetrievalOptions& options,
                      const RetrieverQuery& query) const;
  Retrieved answer(std::string_view question, const RetrieverQuery& query) const;
  std::vector<RetrievedItem> governed(std::vector<RetrievalHit> hits,
                                      const RetrieverQuery& query) const;
  std::optional<RetrievedItem> governed(RetrievalHit hit, const RetrieverQuery& query) const;

  std::vector<std::shared_ptr<Store>> stores_;
  RetrieverParts parts_;
  RetrieverSettings settings_;
  const Clock& clock_;
  const MonotonicClock& monotonic_;
  LogSink& log_;
  MetricsSink& metrics_;
};

}  // namespace nearlite::vector_service
