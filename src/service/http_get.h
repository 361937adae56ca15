#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace nearlite {

/// One connection for GET requests, redirects followed. Used by one thread at a time.
class HttpGet {
 public:
  /// bearer_token: sent to the host of the first request only; may be empty.
  explicit HttpGet(const std::string& bearer_token);
  ~HttpGet();
  HttpGet(const HttpGet&) = delete;
  HttpGet& operator=(const HttpGet&) = delete;

  /// Gets a part of the body; returns false to stop.
  using Sink = std::function<bool(std::span<const std::byte>)>;
  /// Returns the HTTP status; the sink is given bodies of status 200 only. An exception of the sink
  /// passes through. Throws Unavailable that names the address if there is no answer or it stalls
  /// for a minute.
  long get(const std::string& url, const Sink& sink);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Letters, digits and "-._~/" stay, the rest becomes %XX.
std::string percent_encoded_path(const std::string& path);

}  // namespace nearlite
