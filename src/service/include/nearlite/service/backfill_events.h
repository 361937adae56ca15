#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nearlite/service/embedding_backfill.h"
#include "nearlite/service/events.h"

namespace nearlite::vector_service {

struct BackfillEventsOptions {
  std::size_t batch = 1;                     // events of a store before it is refreshed
  std::chrono::milliseconds throttle{1000};  // least time between two runs
};

/// Refreshes the stores that events name (topics db.record_changed, db:new_record and
/// embedding:backfill; payload {"db"|"kind"|"source": NAME}). Names that arrive together make one
/// run (trigger "event"); names of no store are passed over.
class BackfillEvents {
 public:
  using Run = std::function<std::vector<StoreBackfill>(std::span<const StoreSource>,
                                                       const BackfillRequest&)>;
  /// Listens from now on, on a thread of its own. All references must outlive the object.
  BackfillEvents(EventBus& bus, std::function<std::vector<StoreSource>()> stores, Run run,
                 MetricsSink& metrics = null_metrics(), BackfillEventsOptions options = {});
  /// Ends after the running batch.
  ~BackfillEvents();
  BackfillEvents(const BackfillEvents&) = delete;
  BackfillEvents& operator=(const BackfillEvents&) = delete;

 private:
  void note(const std::string& payload);
  void work(const std::stop_token& stop);
  std::vector<std::string> due() const;
  void refresh(const std::vector<std::string>& names, const std::stop_token& stop);

  std::function<std::vector<StoreSource>()> stores_;
  Run run_;
  MetricsSink& metrics_;
  BackfillEventsOptions options_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::size_t> waiting_;  // name -> events since its last run
  std::vector<EventBus::Subscription> subscriptions_;
  std::jthread thread_;
};

}  // namespace nearlite::vector_service
