#include "operation.h"

#include <algorithm>
#include <cmath>
#include <vector>

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

void count_retrieval(const RetrievalResult& result, MetricsSink& metrics) {
  metrics.set("retrieval_query_time", {}, result.took_ms / 1000);
  metrics.add("retrieval_hits_total", {}, static_cast<double>(result.hits.size()));
  if (!result.complete) metrics.add("embedding_search_short_results_total", {});
  for (const StoreAnswer& answer : result.stores) {
    metrics.observe("embedding_search_duration_seconds",
                    {{"store", answer.store}, {"path", answer.path}}, answer.took_ms / 1000);
    metrics.set("retrieval_db_response_time", {{"origin_db", answer.store}}, answer.took_ms / 1000);
    if (answer.path != "keyword")  // words alone promise nothing about vectors
      metrics.set("embedding_index_recall_ratio", {{"store", answer.store}}, answer.recall);
  }
  if (result.k > 0)
    metrics.set("retrieval_hit_rate", {},
                static_cast<double>(result.hits.size()) / static_cast<double>(result.k));
  std::vector<std::string_view> seen;  // origins: their first hit is their best one
  for (const RetrievalHit& hit : result.hits) {
    if (hit.rank > 0 && hit.rank <= 10)
      metrics.add("retrieval_rank_histogram", {{"rank", std::to_string(hit.rank)}});
    if (std::ranges::find(seen, hit.origin) != seen.end()) continue;
    seen.push_back(hit.origin);
    metrics.set("retrieval_rank", {{"origin_db", hit.origin}}, static_cast<double>(hit.rank));
    if (!std::isnan(hit.similarity))
      metrics.set("retrieval_similarity_score", {{"origin_db", hit.origin}}, hit.similarity);
  }
}

}  // namespace nearlite::vector_service
