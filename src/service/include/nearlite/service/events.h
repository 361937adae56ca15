#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace nearlite::vector_service {

/// Told what happens; topics and payloads (JSON) of docs/guides/facades.md. Does not throw.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void publish(std::string_view topic, const std::string& payload) noexcept = 0;
};
EventSink& null_events();

/// Hands events to those who asked for their topic, on the publisher's thread. For any number of
/// threads. A listener that throws does not keep the others from hearing.
class EventBus : public EventSink {
 public:
  using Listener = std::function<void(std::string_view topic, const std::string& payload)>;

  /// Listens until destroyed. The bus must live longer.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(EventBus& bus, std::size_t number) : bus_(&bus), number_(number) {}
    ~Subscription() { cancel(); }
    Subscription(Subscription&& other) noexcept;
    Subscription& operator=(Subscription&& other) noexcept;
    void cancel() noexcept;

   private:
    EventBus* bus_ = nullptr;
    std::size_t number_ = 0;
  };

  [[nodiscard]] Subscription subscribe(std::string topic, Listener listener);
  void publish(std::string_view topic, const std::string& payload) noexcept override;

 private:
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::map<std::size_t, std::pair<std::string, Listener>> listeners_;
};

}  // namespace nearlite::vector_service
