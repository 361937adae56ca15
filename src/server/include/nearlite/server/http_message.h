#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nearlite::server {

/// One request, read whole and checked for form.
struct HttpRequest {
  std::string method{};  // "GET"
  std::string path{};    // as sent, without the query: percent signs are not resolved yet
  std::string query{};   // behind the first '?'
  std::vector<std::pair<std::string, std::string>> headers{};  // names in lower case
  std::string body{};
  std::string id{};    // made by the server, for logs and error texts
  std::string peer{};  // address, or "unix"
  /// Becomes true when the client closes its side; nullptr: nobody looks.
  std::shared_ptr<const std::atomic<bool>> client_gone{};

  /// The first header of this name (lower case), or nothing.
  const std::string* header(std::string_view name) const;
};

/// A response that goes on: server-sent events. One reader; `take` and `wake_by` are called by the
/// server, the texts come from any thread.
class EventSource {
 public:
  struct Piece {
    std::string text{};
    bool last = false;
  };
  virtual ~EventSource() = default;
  /// What has come since the last call; may be nothing.
  virtual Piece take() = 0;
  /// `wake` is called, from any thread, each time take() would give something. An empty function
  /// ends that; after it returned, the old one is not called any more.
  virtual void wake_by(std::function<void()> wake) = 0;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string body{};
  std::shared_ptr<EventSource> events{};  // if set: the body goes on with these, then ends
  bool close = false;                     // end the connection after it
};

/// "Not Found"
std::string_view reason_phrase(int status);

/// What is wrong with the head of a request.
struct HeadProblem {
  int status = 400;
  std::string message{};
};

struct HeadLimits {
  std::size_t max_bytes = 16 << 10;
  std::size_t max_headers = 100;
  std::size_t max_target_bytes = 8 << 10;
};

/// Checks the bytes of a request head, with its empty line at the end, more strictly than a parser
/// must: no bare CR or LF, NUL, folded line, space before a colon, header given twice whose
/// repetition is an attack (Host, Content-Length, Transfer-Encoding, Authorization, Origin), length
/// beside a transfer encoding, or length that is not digits. Nothing: the head is fine.
std::optional<HeadProblem> check_request_head(std::string_view head, const HeadLimits& limits);
/// The same for a head that has not ended yet: what can be refused already.
std::optional<HeadProblem> check_partial_head(std::string_view bytes, const HeadLimits& limits);

/// %41 -> A; nothing for a broken sequence or a NUL byte. '+' stays.
std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace nearlite::server
