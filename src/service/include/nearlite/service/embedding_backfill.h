#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/databases/registry.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"
#include "nearlite/service/statistics.h"

namespace nearlite::vector_service {

/// A store that is opened when its turn comes, so that one that cannot be opened does not stop the
/// others.
struct StoreSource {
  std::string name;
  std::string class_name;
  std::filesystem::path metrics_file;  // metrics.db that its statistics go to
  /// With a backend: opened with that one instead of its own.
  std::function<std::shared_ptr<Store>(std::optional<Backend>)> open;
};

/// A store of a registry.
StoreSource source_of(std::shared_ptr<const Registry> registry, const StoreEntry& entry);
/// Those whose database is there, in the order of --all.
std::vector<StoreSource> sources_of(const std::shared_ptr<const Registry>& registry);

struct BackfillRequest {
  std::string session_id;
  std::string trace_id{};          // of the request that asked for it; for logs only
  std::string trigger = "manual";  // or event, auto, stale: a label of the metrics
  std::optional<Backend> backend;
  BackfillOptions options;  // its progress function is not used: see BackfillObserver
};

/// How one store fared: a result or a failure.
struct StoreBackfill {
  std::string store;
  std::string class_name;
  std::optional<BackfillResult> result;
  std::optional<StoreFailure> failure;
  std::string warning;  // done, but its statistics could not be written
};

/// Told how a run goes on, on the calling thread.
struct BackfillObserver {
  std::function<void(const StoreSource&, std::size_t number, std::size_t count)>
      begin;  // number 1 to count
  std::function<void(const StoreSource&, const BackfillProgress&)> progress;
  std::function<void(const StoreBackfill&)> end;
};

/// Embeds what is missing or stale in several stores, one after the other. A store that fails is
/// reported and does not stop the others; a stop request ends the run after the running batch, and
/// later stores are not begun.
class EmbeddingBackfill {
 public:
  /// All of them must outlive the object.
  EmbeddingBackfill(const Clock& clock, StatisticsSink& statistics, LogSink& log,
                    MetricsSink& metrics = null_metrics())
      : clock_(clock), statistics_(statistics), log_(log), metrics_(metrics) {}

  /// One entry per store begun, in order.
  std::vector<StoreBackfill> run(std::span<const StoreSource> stores,
                                 const BackfillRequest& request,
                                 const BackfillObserver& observer = {});
  /// run() over stores side by side, at most `at_once` of them; what holds another's file is waited
  /// for. One entry per store begun, in the order of `stores`. The object must outlive the future.
  std::future<std::vector<StoreBackfill>> schedule_backfill(std::vector<StoreSource> stores,
                                                            BackfillRequest request,
                                                            std::size_t at_once = 2);

 private:
  StoreBackfill process(const StoreSource& source, const BackfillRequest& request,
                        const BackfillObserver& observer);
  void warn_of_statistics(StoreBackfill& done, const BackfillRequest& request,
                          const StoreSource& source);
  void count(const StoreBackfill& done);

  const Clock& clock_;
  StatisticsSink& statistics_;
  LogSink& log_;
  MetricsSink& metrics_;
};

}  // namespace nearlite::vector_service
