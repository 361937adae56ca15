#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "nearlite/server/http_server.h"

namespace nearlite::server {

class Session;

/// What a connection needs of the server. Everything happens on the thread of `io`.
struct SessionHost {
  explicit SessionHost(HttpServer::Options& given) : options(std::move(given)) {}
  virtual ~SessionHost() = default;
  /// Leads to exactly one answer() or refuse() of the session, now or later.
  virtual void handle(std::shared_ptr<Session> session, HttpRequest request) = 0;
  virtual void finished(Session& session) = 0;

  HttpServer::Options options;
  boost::asio::io_context io{1};
  bool stopping = false;
};

/// One connection: reads a request, has it handled, writes the answer, and again.
class Session : public std::enable_shared_from_this<Session> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  Session(SessionHost& host, Socket socket, std::string peer);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// `overfull`: there are too many connections, this one is told so.
  void start(bool overfull);
  void answer(HttpResponse response);
  /// An error that the server itself finds; ends the connection unless a whole request was read.
  void refuse(int status, const std::string& message);
  /// The server stops: a connection between two requests ends, an event stream too.
  void stop_when_idle();
  /// Closes at once.
  void end();
  /// Closes because others need the place.
  void give_way();

  const std::string& peer() const noexcept { return peer_; }
  bool is_waiting_for_client() const noexcept {
    return phase_ == Phase::kIdle || phase_ == Phase::kHead || phase_ == Phase::kBody;
  }
  bool is_working() const noexcept {
    return phase_ == Phase::kWorking || phase_ == Phase::kWriting;
  }
  std::chrono::steady_clock::time_point waiting_since() const noexcept { return waiting_since_; }

 private:
  enum class Phase { kIdle, kHead, kBody, kWorking, kWriting, kStreaming, kLingering, kEnded };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void set_deadline(std::chrono::milliseconds time);
  void on_deadline();
  void next_request();
  void look_at_head();
  void read_more_head();
  void take_head(std::size_t size);
  void read_body();
  void on_body(boost::system::error_code error);
  void on_read_error(boost::system::error_code error);
  void dispatch();
  void write(std::string head, std::string body);
  void on_written(boost::system::error_code error);
  void begin_stream(std::shared_ptr<EventSource> events);
  void pump_stream();
  void watch_for_end_of_client();
  void end_stream();
  void linger();
  void discard();
  std::string head_of(const HttpResponse& response) const;

  SessionHost& host_;
  Socket socket_;
  std::string peer_;
  boost::asio::steady_timer deadline_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  Phase phase_ = Phase::kIdle;
  std::chrono::steady_clock::time_point waiting_since_;
  std::chrono::steady_clock::time_point asked_at_;
  bool timed_out_ = false;
  bool keep_alive_ = false;
  bool http_1_0_ = false;
  bool head_only_ = false;
  bool gave_way_ = false;
  HttpRequest request_;  // kept for the observer
  std::string out_head_;
  std::string out_body_;
  std::shared_ptr<EventSource> events_;
  bool stream_writes_ = false;
  bool stream_last_ = false;
  std::size_t discarded_ = 0;
};

}  // namespace nearlite::server
