#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nearlite/server/http_message.h"

namespace nearlite::server {

/// Where to listen: a TCP address, a unix socket, or a listening socket that was handed over.
struct ListenAddress {
  std::string host{};                 // an IP address, or "localhost"
  unsigned short port = 0;            // 0: any free one
  std::filesystem::path unix_path{};  // if not empty: a unix socket, made with mode 0600
  int handed_over = -1;               // a descriptor of systemd's

  /// "127.0.0.1:8642", "[::1]:80", ":8642" (loopback), "unix:/run/nearlite.sock". Throws
  /// InvalidArgument.
  static ListenAddress parse(const std::string& text);
  bool is_loopback() const;  // also true for unix sockets
  std::string display() const;
};

struct HttpLimits {
  HeadLimits head{};
  std::size_t max_body_bytes = 2 << 20;
  std::size_t max_connections = 1024;
  std::size_t max_connections_per_address = 64;  // not for loopback and unix sockets
  std::size_t max_waiting = 256;                 // requests in work or waiting for a worker
  std::chrono::milliseconds head_time{5000};     // from the first byte to the empty line
  std::chrono::milliseconds body_time{10'000};   // and one second for each 64 KiB on top
  std::chrono::milliseconds write_time{10'000};
  std::chrono::milliseconds idle_time{30'000};  // between requests
  std::chrono::milliseconds drain_time{5000};   // for slow clients when the server is stopped
  std::chrono::milliseconds work_time{25'000};  // then, for requests that are computed
};

/// What the server tells while it runs; called on its own thread.
struct HttpObserver {
  std::function<void(const HttpRequest&, const HttpResponse&, double seconds)> answered{};
  std::function<void(int status)> refused{};  // before there was a request: 400, 408, 431, 503 ...
};

/// An event-driven HTTP/1.1 server: one thread for all connections, a pool of workers for the
/// handler. A slow client costs a socket and a buffer, nothing else. When too much waits, requests
/// are answered with 503 and Retry-After at once.
class HttpServer {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  struct Options {
    std::vector<ListenAddress> addresses{};
    HttpLimits limits{};
    std::size_t workers = 16;
    /// Threads for requests that wait for others more than they compute: texts that are encoded
    /// together with those of other requests.
    std::size_t waiters = 64;
    std::function<bool(const HttpRequest&)> waits{};
    /// What an answer costs next to nothing is given by the connections' thread itself.
    std::function<bool(const HttpRequest&)> is_quick{};
    /// The body of answers that the server itself makes: 408, 413, 503 and so on.
    std::function<std::string(int status, const std::string& message, const std::string& id)>
        error_body{};
    HttpObserver observer{};
  };

  /// Listens at once. `handler` is called by the workers, several at a time, and does not throw.
  /// Throws InvalidArgument for an address that is none, Unavailable if it cannot be listened on.
  HttpServer(Options options, Handler handler);
  /// Stops, if it still runs.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Serves until stop(); returns when the last answer is written or drain_time and
  /// work_time have passed.
  void run();
  /// From any thread: no new connections, what is under way is finished.
  void stop();

  /// The port of the first TCP address.
  unsigned short port() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nearlite::server
