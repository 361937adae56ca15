#include "nearlite/service/embedding_backfill.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "nearlite/base/error.h"
#include "nearlite/retrieval/governed_hit.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

LogRecord line(LogLevel level, std::string message, const BackfillRequest& request,
               const StoreSource& source) {
  LogRecord record{
      level, std::move(message), {{"session_id", request.session_id}, {"store", source.name}}};
  if (!request.trace_id.empty()) record.fields.emplace_back("trace_id", request.trace_id);
  record.event = "embedding.backfill";
  return record;
}

/// The rules that governance names ("eval-use at 4-9, gpl-3.0 at 20-27"), each once, in their
/// order; none in any other reason ("no text").
std::vector<std::string> rules_in(std::string_view reason) {
  std::vector<std::string> rules;
  while (!reason.empty()) {
    std::string_view piece = reason.substr(0, reason.find(", "));
    reason.remove_prefix(std::min(piece.size() + 2, reason.size()));
    const std::size_t place = piece.rfind(" at ");
    if (place == std::string_view::npos ||
        piece.find_first_not_of("0123456789-", place + 4) != std::string_view::npos)
      continue;
    piece = piece.substr(0, place);
    // "nothing is left of the text: mail-address at 3-20"
    if (const std::size_t colon = piece.rfind(": "); colon != std::string_view::npos)
      piece.remove_prefix(colon + 2);
    if (std::ranges::find(rules, piece) == rules.end()) rules.emplace_back(piece);
  }
  return rules;
}

/// What governance said of texts that were written, each of them once.
void count_decisions(std::span<const EmbeddingFigures> records, const std::string& store,
                     MetricsSink& metrics) {
  std::size_t allowed = 0;
  for (const EmbeddingFigures& record : records) {
    if (record.skipped_reason.empty()) ++allowed;
    for (const std::string& rule : rules_in(record.skipped_reason))
      metrics.add("embedding_governance_decisions_total",
                  {{"store", store}, {"decision", "block"}, {"rule", rule}});
  }
  metrics.add("embedding_governance_decisions_total",
              {{"store", store}, {"decision", "allow"}, {"rule", ""}},
              static_cast<double>(allowed));
}

}  // namespace

StoreSource source_of(std::shared_ptr<const Registry> registry, const StoreEntry& entry) {
  StoreSource source{entry.name, entry.class_name, registry->metrics_path(entry), {}};
  source.open = [registry = std::move(registry), entry](std::optional<Backend> backend) {
    return backend ? registry->with_backend(*backend).open(entry) : registry->open(entry);
  };
  return source;
}

std::vector<StoreSource> sources_of(const std::shared_ptr<const Registry>& registry) {
  std::vector<StoreSource> sources;
  for (const StoreEntry& entry : registry->entries()) {
    if (entry.exists) sources.push_back(source_of(registry, entry));
  }
  return sources;
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

std::future<std::vector<StoreBackfill>> EmbeddingBackfill::schedule_backfill(
    std::vector<StoreSource> stores, BackfillRequest request, std::size_t at_once) {
  if (at_once == 0) throw InvalidArgument("at_once is 0, at least 1 store has to run");
  constexpr std::chrono::minutes kWait{10};  // for a store that shares its files with another one
  if (request.options.wait < kWait) request.options.wait = kWait;
  return std::async(std::launch::async,
                    [this, stores = std::move(stores), request = std::move(request), at_once] {
                      std::vector<std::vector<StoreBackfill>> done(stores.size());
                      std::atomic<std::size_t> next{0};
                      {
                        std::vector<std::jthread> workers;
                        for (std::size_t i = 0; i < std::min(at_once, stores.size()); ++i) {
                          workers.emplace_back([&] {
                            for (std::size_t at = next++; at < stores.size(); at = next++)
                              done[at] = run(std::span(stores).subspan(at, 1), request);
                          });
                        }
                      }
                      std::vector<StoreBackfill> all;
                      for (std::vector<StoreBackfill>& one : done)
                        all.insert(all.end(), std::make_move_iterator(one.begin()),
                                   std::make_move_iterator(one.end()));
                      return all;
                    });
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
  // What a whole run leaves behind, without another look at all rows.
  if (!result.stopped && result.failed == 0) {
    const auto state = [&](std::string_view name, std::size_t number) {
      metrics_.set("embedding_records", {{"store", done.store}, {"state", name}},
                   static_cast<double>(number));
    };
    state("fresh", result.embedded + result.unchanged);
    state("blocked", result.blocked);
    for (const char* const behind : {"stale", "missing", "orphan"}) state(behind, 0);
    metrics_.set("embedding_oldest_pending_age_seconds", {{"store", done.store}}, 0);
    metrics_.set("embedding_stale_cost_seconds", {{"origin_db", done.store}}, 0);
  }
  metrics_.observe("embedding_backfill_duration_seconds", {{"store", done.store}},
                   result.wall_ms / 1000);
  for (const SkippedRecord& blocked : result.blocked_records) {
    const std::vector<std::string> rules = rules_in(blocked.reason);
    if (rules.empty()) continue;
    // Licences are a closed list, other rules may be the user's own.
    const std::string license = license_id(rules.front());
    if (default_license_denylist().contains(license))
      metrics_.add("embedding_backfill_skipped_total",
                   {{"db", done.class_name}, {"license", license}});
  }
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
    const std::shared_ptr<Store> store = source.open(request.backend);
    BackfillOptions options = request.options;
    if (observer.progress) {
      options.progress = [&](const BackfillProgress& progress) {
        observer.progress(source, progress);
      };
    } else {
      options.progress = nullptr;
    }
    options.figures = [&](std::span<const EmbeddingFigures> records) {
      count_decisions(records, source.name, metrics_);
      if (!done.warning.empty()) return;
      try {
        statistics_.record_embeddings(
            source.metrics_file, {request.session_id, source.name, source.class_name, records});
      } catch (const std::exception&) {
        warn_of_statistics(done, request, source);
      }
    };
    done.result = store->backfill_embeddings(options);
  } catch (const std::exception&) {
    done.failure = failure_in_flight(source.name);
    LogRecord failed = line(LogLevel::kError, "backfill failed", request, source);
    failed.fields.emplace_back("error.type", done.failure->type);
    failed.fields.emplace_back("exception.message", done.failure->message);
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
    if (done.warning.empty()) warn_of_statistics(done, request, source);
  }
  return done;
}

/// The run goes on without them. Called while the exception is handled.
void EmbeddingBackfill::warn_of_statistics(StoreBackfill& done, const BackfillRequest& request,
                                           const StoreSource& source) {
  done.warning = "the statistics could not be written: " + failure_in_flight(source.name).message;
  log_.write(line(LogLevel::kWarning, done.warning, request, source));
}

}  // namespace nearlite::vector_service
