#include "nearlite/service/embedding_backfill.h"

#include <algorithm>

#include "nearlite/store/metrics_db.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

LogRecord line(LogLevel level, std::string message, const BackfillRequest& request,
               const StoreSource& source) {
  return {level, std::move(message), {{"session_id", request.session_id}, {"store", source.name}}};
}

std::int64_t whole(std::size_t number) { return static_cast<std::int64_t>(number); }

}  // namespace

void MetricsFileSink::record(const std::filesystem::path& metrics_file,
                             const BackfillStatistics& statistics) {
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
  run.refused = whole(result.refused);
  for (const auto& [reason, count] : result.skipped_by_reason)
    run.skipped_by_reason.emplace(reason, whole(count));
  MetricsDb::open(metrics_file).log_run(run);
}

std::vector<StoreBackfill> EmbeddingBackfill::run(std::span<const StoreSource> stores,
                                                  const BackfillRequest& request,
                                                  const BackfillObserver& observer) {
  Operation operation("EmbeddingBackfill.run", request.session_id, clock_, log_, metrics_);
  const Stopwatch stopwatch;
  std::vector<StoreBackfill> done;
  for (std::size_t i = 0; i < stores.size(); ++i) {
    if (request.options.stop.stop_requested()) break;
    LogRecord begin = line(LogLevel::kInfo,
                           "Backfilling " + stores[i].class_name + " (" + std::to_string(i + 1) +
                               "/" + std::to_string(stores.size()) + ")",
                           request, stores[i]);
    log_.write(begin);
    if (observer.begin) observer.begin(stores[i], i + 1, stores.size());
    done.push_back(process(stores[i], request, observer));
    if (!request.options.dry_run) count(done.back());
    if (observer.end) observer.end(done.back());
  }
  operation.finished(done.size());
  const bool failed =
      std::ranges::any_of(done, [](const StoreBackfill& one) { return one.failure.has_value(); });
  metrics_.add("embedding_backfill_runs_total",
               {{"status", failed ? "failure" : "success"}, {"trigger", request.trigger}});
  metrics_.set("embedding_backfill_run_duration_seconds", {{"trigger", request.trigger}},
               stopwatch.elapsed_ms() / 1000);
  return done;
}

void EmbeddingBackfill::count(const StoreBackfill& done) {
  if (!done.result) return;
  const BackfillResult& result = *done.result;
  const auto records = [&](std::string_view status, std::size_t number) {
    metrics_.add("embedding_backfill_records_total", {{"store", done.store}, {"status", status}},
                 static_cast<double>(number));
  };
  records("embedded", result.embedded);
  records("skipped", result.skipped);
  records("removed", result.removed);
  records("unchanged", result.unchanged);
  records("blocked", result.blocked);
  metrics_.add("embedding_tokens_total", {}, static_cast<double>(result.tokens));
  metrics_.add("embedding_wall_seconds_total", {}, result.wall_ms / 1000);
  metrics_.add("embedding_store_seconds_total", {}, result.store_ms / 1000);
  metrics_.set("embedding_wall_time_seconds", {}, result.wall_ms / 1000);
  metrics_.set("embedding_store_latency_seconds", {}, result.store_ms / 1000);
}

StoreBackfill EmbeddingBackfill::process(const StoreSource& source, const BackfillRequest& request,
                                         const BackfillObserver& observer) {
  StoreBackfill done;
  done.store = source.name;
  done.class_name = source.class_name;
  const auto started = clock_.now();
  try {
    const std::unique_ptr<Store> store = source.open(request.backend);
    BackfillOptions options = request.options;
    if (observer.progress) {
      options.progress = [&](const BackfillProgress& progress) {
        observer.progress(source, progress);
      };
    } else {
      options.progress = nullptr;
    }
    done.result = store->backfill_embeddings(options);
  } catch (const std::exception&) {
    done.failure = failure_in_flight(source.name);
    LogRecord failed = line(LogLevel::kError, "backfill failed", request, source);
    failed.fields.emplace_back("error", done.failure->message);
    log_.write(failed);
    return done;
  }
  for (const SkippedRecord& skipped : done.result->skipped_records) {
    LogRecord record = line(LogLevel::kInfo, "record skipped", request, source);
    record.fields.emplace_back("key", skipped.key.display());
    record.fields.emplace_back("reason", skipped.reason);
    log_.write(record);
  }
  if (request.options.dry_run) return done;
  try {
    statistics_.record(source.metrics_file,
                       {request.session_id, source.name, source.class_name, started, *done.result});
  } catch (const std::exception&) {
    done.warning = "the statistics could not be written: " + failure_in_flight(source.name).message;
    log_.write(line(LogLevel::kWarning, done.warning, request, source));
  }
  return done;
}

}  // namespace nearlite::vector_service
