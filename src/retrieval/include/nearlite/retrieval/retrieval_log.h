#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/universal_retriever.h"
#include "nearlite/store/connection.h"

namespace nearlite {

/// Where hits are recorded (reference 5.2, 5.3 and 6.9): rows of `retrieval_metrics`,
/// `retrieval_stats`, `vector_metrics` and `eval_metrics` in a metrics.db, and a line per hit in
/// analytics/retrieval_outcomes.jsonl. Made to be the sink of a UniversalRetriever:
///
///   RetrievalLog log("metrics.db", "analytics/retrieval_outcomes.jsonl");
///   options.sink = [&](const RetrieverResult& result) { log.record(result); };
///   options.reliability_source = [&] { return log.reliability(); };
///
/// Any number of threads.
class RetrievalLog {
 public:
  /// Makes file and tables where they are missing; other tables are left alone. `outcomes` may be
  /// empty: no lines then. Throws as Connection::open.
  explicit RetrievalLog(const std::filesystem::path& metrics_db,
                        std::filesystem::path outcomes = {}, const Clock& clock = system_clock());

  /// All of a result, in one transaction. Throws Unavailable or StoreError.
  void record(const RetrieverResult& result);
  /// What a hit of a session brought: its row of retrieval_stats. False if there is none.
  bool mark_retrieval_contribution(const std::string& session_id, const std::string& vector_id,
                                   double contribution);
  /// Whether a hit helped (win) or did harm (regret): its row of vector_metrics, and the count of
  /// its origin in retriever_stats. False if there is none.
  bool mark_outcome(const std::string& session_id, const std::string& vector_id, bool win,
                    bool regret);
  /// By origin: shares of the rows of vector_metrics that say so; for an origin without such rows,
  /// the counts of retriever_stats.
  std::map<std::string, Reliability> reliability();

 private:
  void append_lines(const RetrieverResult& result);

  const Clock& clock_;
  const std::filesystem::path outcomes_;
  std::mutex mutex_;  // guards db_ and the order of lines
  Connection db_;
};

}  // namespace nearlite
