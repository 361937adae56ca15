#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/service/metrics.h"
#include "nearlite/store/metrics_db.h"

namespace nearlite::vector_service {

/// What a finished run says to the statistics.
struct BackfillStatistics {
  std::string session_id;
  std::string store;
  std::string class_name;
  std::chrono::system_clock::time_point started;
  const BackfillResult& result;
};

/// What embedding single records of one store has cost.
struct EmbeddingStatistics {
  std::string session_id;
  std::string store;
  std::string class_name;
  std::span<const EmbeddingFigures> records;
};

/// Where embedding statistics go. Any thread may call it.
class StatisticsSink {
 public:
  virtual ~StatisticsSink() = default;
  /// Throws Error if they cannot be written.
  virtual void record(const std::filesystem::path& metrics_file,
                      const BackfillStatistics& statistics) = 0;
  /// Of single records, in batches; before the run that they belong to, if they belong to one.
  /// Throws as record(). Here: they are not kept.
  virtual void record_embeddings(const std::filesystem::path& metrics_file,
                                 const EmbeddingStatistics& statistics);
  /// How old the vectors behind hits were. Throws as record(). Here: they are not kept.
  virtual void record_ages(const std::filesystem::path& metrics_file,
                           std::span<const EmbeddingAge> ages);
};

/// Writes the tables of metrics.db (docs/formats/sidecar.md); the file is made at the first run.
/// Figures of single records are collected and written a thousand at a time, and the rest with
/// their run, at flush() and at the end.
class MetricsFileSink : public StatisticsSink {
 public:
  MetricsFileSink() = default;
  ~MetricsFileSink() override;  // what cannot be written now is lost
  MetricsFileSink(const MetricsFileSink&) = delete;
  MetricsFileSink& operator=(const MetricsFileSink&) = delete;

  void record(const std::filesystem::path& metrics_file,
              const BackfillStatistics& statistics) override;
  void record_embeddings(const std::filesystem::path& metrics_file,
                         const EmbeddingStatistics& statistics) override;
  void record_ages(const std::filesystem::path& metrics_file,
                   std::span<const EmbeddingAge> ages) override;
  /// Writes what is collected. Throws Error if it cannot be written; it is dropped then.
  void flush();

 private:
  struct Collected {
    std::vector<EmbeddingStat> embeddings;
    std::vector<StalenessStat> ages;
  };
  static void write(const std::filesystem::path& metrics_file, Collected collected);
  Collected take(const std::filesystem::path& metrics_file, std::size_t from);

  std::mutex mutex_;
  std::map<std::filesystem::path, Collected> collected_;
};

/// Has a store that will be made with `options` tell the sink of each add_embedding() and of the
/// age of the vectors behind its hits; `metrics` too (embedding_stale_cost_seconds). What cannot be
/// written is left out: neither adding nor searching fails for it. All of them must outlive the
/// store.
void tell_statistics(EmbeddableOptions& options, const std::string& class_name,
                     const std::filesystem::path& metrics_file, StatisticsSink& statistics,
                     MetricsSink& metrics = null_metrics());

}  // namespace nearlite::vector_service
