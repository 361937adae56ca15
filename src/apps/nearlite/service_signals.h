#pragma once

#include <functional>
#include <string>
#include <thread>

namespace nearlite::cli {

/// While it lives: SIGHUP calls `reload`, the first SIGTERM or Ctrl-C calls `stop`, the second ends
/// the program at once with 143 or 130. Make it before any other thread is started; the functions
/// are called on a thread of its own.
class ServiceSignals {
 public:
  ServiceSignals(std::function<void()> stop, std::function<void()> reload);
  ~ServiceSignals();
  ServiceSignals(const ServiceSignals&) = delete;
  ServiceSignals& operator=(const ServiceSignals&) = delete;

  /// Threads started from now on do not get the signals.
  static void block();

 private:
  std::thread thread_;
};

/// Tells systemd (Type=notify) how the service is: "READY=1", "STOPPING=1", "STATUS=...". Does
/// nothing without a socket to tell it on.
class ServiceNotifier {
 public:
  /// socket_path: NOTIFY_SOCKET; empty: none.
  explicit ServiceNotifier(std::string socket_path) : socket_path_(std::move(socket_path)) {}
  void tell(const std::string& state) const noexcept;

 private:
  std::string socket_path_;
};

}  // namespace nearlite::cli
