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

namespace nearlite::vector_service {

/// Vectors of some stores are behind their rows, and a backfill did not change that.
class StaleEmbeddingsError : public Unavailable {
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
  EmbeddingFreshness(EmbeddingBackfill& backfill, LogSink& log) : backfill_(backfill), log_(log) {}

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
};

}  // namespace nearlite::vector_service
