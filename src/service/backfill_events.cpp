#include "nearlite/service/backfill_events.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nearlite/service/bootstrap.h"

namespace nearlite::vector_service {

BackfillEvents::BackfillEvents(EventBus& bus, std::function<std::vector<StoreSource>()> stores,
                               Run run, MetricsSink& metrics, BackfillEventsOptions options)
    : stores_(std::move(stores)), run_(std::move(run)), metrics_(metrics), options_(options) {
  for (const char* topic : {"db.record_changed", "db:new_record", "embedding:backfill"})
    subscriptions_.push_back(bus.subscribe(
        topic, [this](std::string_view, const std::string& payload) { note(payload); }));
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

BackfillEvents::~BackfillEvents() {
  subscriptions_.clear();
  thread_.request_stop();
  thread_.join();
}

void BackfillEvents::note(const std::string& payload) {
  const auto json = nlohmann::json::parse(payload, nullptr, false);
  if (!json.is_object()) return;
  for (const char* key : {"db", "kind", "source"}) {
    const auto name = json.find(key);
    if (name == json.end() || !name->is_string()) continue;
    const std::scoped_lock lock(mutex_);
    // A publisher of ever new names does not fill the memory.
    if (waiting_.size() < 1000 || waiting_.contains(name->get<std::string>()))
      ++waiting_[name->get<std::string>()];
    changed_.notify_all();
    return;
  }
}

std::vector<std::string> BackfillEvents::due() const {
  std::vector<std::string> names;
  for (const auto& [name, events] : waiting_) {
    if (events >= options_.batch) names.push_back(name);
  }
  return names;
}

void BackfillEvents::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (!changed_.wait(lock, stop, [this] { return !due().empty(); })) return;
    const std::vector<std::string> names = due();
    for (const std::string& name : names) waiting_.erase(name);
    lock.unlock();
    refresh(names, stop);
    lock.lock();
    // What comes in the meantime makes the next run.
    changed_.wait_for(lock, stop, options_.throttle, [] { return false; });
  }
}

void BackfillEvents::refresh(const std::vector<std::string>& names, const std::stop_token& stop) {
  try {
    std::vector<StoreSource> stores = stores_();
    std::erase_if(stores, [&](const StoreSource& store) {
      return std::ranges::none_of(
          names, [&](const std::string& name) { return store_is_called(store, name); });
    });
    if (stores.empty()) return;
    BackfillRequest request;
    request.session_id = "event";
    request.trigger = "event";
    request.options.stop = stop;
    for (const StoreBackfill& done : run_(stores, request))
      metrics_.add(
          done.result ? "embedding_watcher_processed_total" : "embedding_watcher_failed_total",
          {{"watcher", "event_bus"}});
  } catch (const std::exception&) {  // stores cannot be listed now, or no memory: the next event
    metrics_.add("embedding_watcher_errors_total", {{"watcher", "event_bus"}});
  }
}

}  // namespace nearlite::vector_service
