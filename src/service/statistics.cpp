#include "nearlite/service/statistics.h"

#include <utility>

#include "nearlite/base/error.h"

namespace nearlite::vector_service {
namespace {

constexpr std::size_t kRowsPerWrite = 1000;

std::int64_t whole(std::size_t number) { return static_cast<std::int64_t>(number); }

EmbeddingStat row_of(const EmbeddingStatistics& statistics, const EmbeddingFigures& record) {
  EmbeddingStat row;
  row.db_name = statistics.class_name;
  row.vector_id = record.key.display();
  row.db_source = statistics.store;
  row.session_id = statistics.session_id;
  row.ts = rfc3339(system_clock().now());
  if (!record.skipped_reason.empty()) return row;  // zeros: it was skipped
  row.tokens = whole(record.tokens);
  row.wall_ms = record.encode_ms;
  row.store_ms = record.store_ms;
  return row;
}

BackfillRun run_of(const BackfillStatistics& statistics) {
  const BackfillResult& result = statistics.result;
  BackfillRun run;
  run.store = statistics.store;
  run.db_name = statistics.class_name;
  run.session_id = statistics.session_id;
  run.started_at = rfc3339(statistics.started);
  run.embedded = whole(result.embedded);
  run.skipped = whole(result.skipped);
  run.removed = whole(result.removed);
  run.unchanged = whole(result.unchanged);
  run.blocked = whole(result.blocked);
  run.tokens = whole(result.tokens);
  run.truncated = whole(result.truncated);
  run.passages = whole(result.passages);
  run.wall_ms = result.wall_ms;
  run.store_ms = result.store_ms;
  run.encode_ms = result.encode_ms;
  for (const auto& [reason, count] : result.skipped_by_reason)
    run.skipped_by_reason.emplace(reason, whole(count));
  return run;
}

}  // namespace

void StatisticsSink::record_embeddings(const std::filesystem::path& /*metrics_file*/,
                                       const EmbeddingStatistics& /*statistics*/) {}
void StatisticsSink::record_ages(const std::filesystem::path& /*metrics_file*/,
                                 std::span<const EmbeddingAge> /*ages*/) {}

MetricsFileSink::~MetricsFileSink() {
  try {
    flush();
  } catch (const std::exception&) {
    return;
  }
}

/// What is collected for a file, if it is at least `from` rows.
MetricsFileSink::Collected MetricsFileSink::take(const std::filesystem::path& metrics_file,
                                                 std::size_t from) {
  const auto found = collected_.find(metrics_file);
  if (found == collected_.end() ||
      found->second.embeddings.size() + found->second.ages.size() < from) {
    return {};
  }
  Collected taken = std::move(found->second);
  collected_.erase(found);
  return taken;
}

void MetricsFileSink::write(const std::filesystem::path& metrics_file, Collected collected) {
  if (collected.embeddings.empty() && collected.ages.empty()) return;
  MetricsDb metrics = MetricsDb::open(metrics_file);
  if (!collected.embeddings.empty()) metrics.log_embeddings(collected.embeddings);
  if (!collected.ages.empty()) metrics.log_staleness(collected.ages);
}

void MetricsFileSink::record(const std::filesystem::path& metrics_file,
                             const BackfillStatistics& statistics) {
  const std::scoped_lock lock(mutex_);
  const Collected collected = take(metrics_file, 0);
  MetricsDb metrics = MetricsDb::open(metrics_file);
  metrics.log_run(run_of(statistics), collected.embeddings);
  if (!collected.ages.empty()) metrics.log_staleness(collected.ages);
}

void MetricsFileSink::record_embeddings(const std::filesystem::path& metrics_file,
                                        const EmbeddingStatistics& statistics) {
  const std::scoped_lock lock(mutex_);
  Collected& collected = collected_[metrics_file];
  for (const EmbeddingFigures& record : statistics.records)
    collected.embeddings.push_back(row_of(statistics, record));
  write(metrics_file, take(metrics_file, kRowsPerWrite));
}

void MetricsFileSink::record_ages(const std::filesystem::path& metrics_file,
                                  std::span<const EmbeddingAge> ages) {
  const std::scoped_lock lock(mutex_);
  Collected& collected = collected_[metrics_file];
  for (const EmbeddingAge& age : ages)
    collected.ages.push_back({age.store, age.key.display(), age.seconds});
  write(metrics_file, take(metrics_file, kRowsPerWrite));
}

void MetricsFileSink::flush() {
  const std::scoped_lock lock(mutex_);
  for (auto& [file, collected] : std::exchange(collected_, {})) write(file, std::move(collected));
}

void tell_statistics(EmbeddableOptions& options, const std::string& class_name,
                     const std::filesystem::path& metrics_file, StatisticsSink& statistics,
                     MetricsSink& metrics) {
  options.figures = [class_name, metrics_file, &statistics](const EmbeddingFigures& record) {
    try {
      statistics.record_embeddings(metrics_file,
                                   {"", record.store, class_name, std::span(&record, 1)});
    } catch (const Error&) {
      return;
    }
  };
  options.ages = [metrics_file, &statistics, &metrics](std::span<const EmbeddingAge> ages) {
    for (const EmbeddingAge& age : ages)
      metrics.set("embedding_stale_cost_seconds", {{"origin_db", age.store}}, age.seconds);
    try {
      statistics.record_ages(metrics_file, ages);
    } catch (const Error&) {
      return;
    }
  };
}

}  // namespace nearlite::vector_service
