#include "nearlite/service/events.h"

#include <exception>
#include <utility>
#include <vector>

namespace nearlite::vector_service {
namespace {

class NullEvents : public EventSink {
 public:
  void publish(std::string_view, const std::string&) noexcept override {}
};

}  // namespace

EventSink& null_events() {
  static NullEvents sink;
  return sink;
}

EventBus::Subscription::Subscription(Subscription&& other) noexcept
    : bus_(std::exchange(other.bus_, nullptr)), number_(other.number_) {}

EventBus::Subscription& EventBus::Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    cancel();
    bus_ = std::exchange(other.bus_, nullptr);
    number_ = other.number_;
  }
  return *this;
}

void EventBus::Subscription::cancel() noexcept {
  if (bus_ == nullptr) return;
  const std::scoped_lock lock(bus_->mutex_);
  bus_->listeners_.erase(number_);
  bus_ = nullptr;
}

EventBus::Subscription EventBus::subscribe(std::string topic, Listener listener) {
  const std::scoped_lock lock(mutex_);
  listeners_.emplace(next_, std::pair(std::move(topic), std::move(listener)));
  return {*this, next_++};
}

void EventBus::publish(std::string_view topic, const std::string& payload) noexcept {
  try {
    std::vector<Listener> hearing;  // called without the lock: a listener may publish or cancel
    {
      const std::scoped_lock lock(mutex_);
      for (const auto& [number, listener] : listeners_) {
        if (listener.first == topic) hearing.push_back(listener.second);
      }
    }
    for (const Listener& listener : hearing) {
      try {
        listener(topic, payload);
      } catch (const std::exception&) {  // it is the listener's loss
      }
    }
  } catch (const std::exception&) {  // out of memory: the event is lost, the publisher goes on
  }
}

}  // namespace nearlite::vector_service
