#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/service/embedding_backfill.h"
#include "nearlite/service/embedding_scheduler.h"
#include "nearlite/service/service_error.h"

namespace nearlite::vector_service {

/// Vectors of some stores are behind their rows, and a backfill did not change that.
class StaleEmbeddingsError : public Unavailable, public VectorServiceError {
 public:
  explicit StaleEmbeddingsError(std::map<std::string, std::string> stale);
  /// Store -> reason.
  const std::map<std::string, std::string>& stale_dbs() const noexcept { return stale_; }

 private:
  std::map<std::string, std::string> stale_;
};

/// Keeps stores in step with their rows: looks first, counted from the rows themselves, and
/// backfills only what is behind. Records that can never be embedded (blocked, empty) do not count.
class EmbeddingFreshness {
 public:
  /// Both must outlive the object.
  EmbeddingFreshness(EmbeddingBackfill& backfill, LogSink& log,
                     MetricsSink& metrics = null_metrics())
      : backfill_(backfill), log_(log), metrics_(metrics) {}

  /// Why a store is behind its rows ("record/vector count mismatch 7/6", "record requires refresh",
  /// "embedding metadata missing", "import failed: ..."); nothing: it is not.
  static std::optional<std::string> reason_of(const StoreSource& source);
  static std::map<std::string, std::string> stale(std::span<const StoreSource> stores);

  /// Backfills the stores that are behind (trigger "auto"); their class names.
  std::vector<std::string> check_out_of_sync(std::span<const StoreSource> stores,
                                             BackfillRequest request = {});
  /// Returns when none of the stores is behind; backfills up to `retries` times (trigger "stale").
  /// Throws StaleEmbeddingsError.
  void ensure_embeddings_fresh(std::span<const StoreSource> stores, std::size_t retries = 2,
                               BackfillRequest request = {});
  /// Backfills the stores with more than `most` records whose text, model or version is another one
  /// than that of their vector (trigger "stale"); their class names.
  std::vector<std::string> check_staleness(std::span<const StoreSource> stores,
                                           std::size_t most = 10, BackfillRequest request = {});
  /// Looks at every row again, also where nothing seems to have changed. `force`: before that,
  /// every stored vector is checked, and index and segment files are written anew where they are
  /// damaged.
  std::vector<StoreBackfill> rebuild_all(std::span<const StoreSource> stores, bool force = false,
                                         BackfillRequest request = {});
  /// Looks now and after each interval, and backfills what is behind (trigger "event"), until a
  /// stop is requested. A store that fails is tried again at the next look. Returns how many
  /// records were embedded.
  std::size_t watch(const std::function<std::vector<StoreSource>()>& stores,
                    std::chrono::milliseconds interval, const MonotonicClock& clock,
                    const std::stop_token& stop, BackfillRequest request = {});

 private:
  std::vector<StoreBackfill> refresh(std::span<const StoreSource> stores, BackfillRequest request,
                                     const char* trigger);

  EmbeddingBackfill& backfill_;
  LogSink& log_;
  MetricsSink& metrics_;
};

}  // namespace nearlite::vector_service
