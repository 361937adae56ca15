#include "http_session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <cstdio>
#include <ctime>

#include "nearlite/base/names.h"
#include "request_id.h"

namespace nearlite::server {

namespace net = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using std::chrono::steady_clock;

namespace {

std::string_view view_of(const boost::beast::flat_buffer& buffer) {
  const auto data = buffer.data();
  return {static_cast<const char*>(data.data()), data.size()};
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %d %02d:%02d:%02d GMT",
                kDays.at(static_cast<std::size_t>(parts.tm_wday)), parts.tm_mday,
                kMonths.at(static_cast<std::size_t>(parts.tm_mon)), parts.tm_year + 1900,
                parts.tm_hour, parts.tm_min, parts.tm_sec);
  return text.data();
}

constexpr std::size_t kReadBytes = 4096;
constexpr std::size_t kMostDiscarded = 8 << 20;
constexpr std::chrono::milliseconds kLingerTime{1000};

}  // namespace

Session::Session(SessionHost& host, Socket socket, std::string peer)
    : host_(host), socket_(std::move(socket)), peer_(std::move(peer)), deadline_(host.io) {
  const int on = 1;  // fails on a unix socket, where it is not needed
  setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Session::~Session() = default;

void Session::start(bool overfull) {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  request_.id = new_request_id();
  if (overfull) {
    refuse(503, "too many connections, try again in a second");
    return;
  }
  next_request();
}

// ------------------------------------------------------------------------------------- deadlines

void Session::set_deadline(std::chrono::milliseconds time) {
  deadline_.expires_after(time);
  deadline_.async_wait([self = shared_from_this()](error_code cancelled) {
    // A timer that was set anew while its old end was already on its way must not end anything.
    if (!cancelled && self->deadline_.expiry() <= steady_clock::now()) self->on_deadline();
  });
}

void Session::on_deadline() {
  error_code ignored;
  switch (phase_) {
    case Phase::kHead:
    case Phase::kBody:
      timed_out_ = true;
      socket_.cancel(ignored);  // its read answers with 408
      return;
    case Phase::kWorking:
    case Phase::kEnded:
      return;
    case Phase::kIdle:
    case Phase::kWriting:
    case Phase::kStreaming:
    case Phase::kLingering:
      end();
  }
}

// --------------------------------------------------------------------------------------- reading

void Session::next_request() {
  parser_.reset();
  timed_out_ = false;
  error_code ignored;
  if (host_.stopping && buffer_.size() == 0 && socket_.available(ignored) == 0) {
    end();
    return;
  }
  waiting_since_ = steady_clock::now();
  phase_ = buffer_.size() == 0 ? Phase::kIdle : Phase::kHead;
  const HttpLimits& limits = host_.options.limits;
  set_deadline(phase_ == Phase::kIdle && !host_.stopping ? limits.idle_time : limits.head_time);
  look_at_head();
}

void Session::look_at_head() {
  while (view_of(buffer_).starts_with("\r\n")) buffer_.consume(2);  // RFC 9112, 2.2
  const std::string_view bytes = view_of(buffer_);
  if (const std::size_t end = bytes.find("\r\n\r\n"); end != std::string_view::npos) {
    take_head(end + 4);
    return;
  }
  if (const auto problem = check_partial_head(bytes, host_.options.limits.head)) {
    refuse(problem->status, problem->message);
    return;
  }
  read_more_head();
}

void Session::read_more_head() {
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](error_code error, std::size_t size) {
                            if (error) return self->on_read_error(error);
                            self->buffer_.commit(size);
                            if (self->phase_ == Phase::kIdle) {
                              self->phase_ = Phase::kHead;
                              self->waiting_since_ = steady_clock::now();
                              self->set_deadline(self->host_.options.limits.head_time);
                            }
                            self->look_at_head();
                          });
}

void Session::on_read_error(error_code error) {
  if (phase_ == Phase::kEnded) return;
  if (gave_way_) {
    refuse(503, "too many connections, and this one was slow");
  } else if (timed_out_) {
    refuse(408, "the request did not arrive in time");
  } else if (error == http::error::body_limit) {
    refuse(413, "the body is larger than " + std::to_string(host_.options.limits.max_body_bytes) +
                    " bytes");
  } else if (error.category() == http::make_error_code(http::error::bad_chunk).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    refuse(400, "the body is not framed correctly: " + error.message());
  } else {
    end();
  }
}

void Session::take_head(std::size_t size) {
  const std::string_view head = view_of(buffer_).substr(0, size);
  const HttpLimits& limits = host_.options.limits;
  if (const auto problem = check_request_head(head, limits.head)) {
    refuse(problem->status, problem->message);
    return;
  }
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(limits.head.max_bytes + 1));
  parser_->body_limit(limits.max_body_bytes);
  error_code error;
  const std::size_t used = parser_->put(net::buffer(head.data(), head.size()), error);
  if (error == http::error::body_limit) {
    on_read_error(error);
    return;
  }
  if (error && error != http::error::need_more) {
    refuse(400, "the head of the request is not HTTP: " + error.message());
    return;
  }
  buffer_.consume(used);
  head_only_ = parser_->get().method() == http::verb::head;
  http_1_0_ = parser_->get().version() == 10;
  if (parser_->is_done()) {
    dispatch();
  } else {
    read_body();
  }
}

void Session::read_body() {
  const HttpLimits& limits = host_.options.limits;
  const std::uint64_t length =
      parser_->content_length() ? *parser_->content_length() : limits.max_body_bytes;
  if (length > limits.max_body_bytes) {
    on_read_error(http::make_error_code(http::error::body_limit));
    return;
  }
  phase_ = Phase::kBody;
  waiting_since_ = steady_clock::now();
  set_deadline(limits.body_time + std::chrono::seconds(length / (64 << 10)));
  const auto read = [self = shared_from_this()](error_code write_error) {
    if (write_error) return self->end();
    http::async_read(self->socket_, self->buffer_, *self->parser_,
                     [self](error_code error, std::size_t) { self->on_body(error); });
  };
  if (to_lower_ascii(std::string_view(parser_->get()[http::field::expect].data(),
                                      parser_->get()[http::field::expect].size())) ==
      "100-continue") {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    net::async_write(socket_, net::buffer(kContinue.data(), kContinue.size()),
                     [read](error_code error, std::size_t) { read(error); });
    return;
  }
  read({});
}

void Session::on_body(error_code error) {
  if (error) {
    on_read_error(error);
    return;
  }
  dispatch();
}

void Session::dispatch() {
  phase_ = Phase::kWorking;
  deadline_.cancel();
  asked_at_ = steady_clock::now();
  auto& message = parser_->get();
  keep_alive_ = message.keep_alive();
  HttpRequest request;
  request.id = new_request_id();
  request.peer = peer_;
  request.method = std::string(message.method_string());
  const std::string target(message.target());
  const std::size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  for (const auto& field : message) {
    request.headers.emplace_back(
        to_lower_ascii({field.name_string().data(), field.name_string().size()}),
        std::string(field.value()));
  }
  request_ = request;
  request.body = std::move(message.body());
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  request.client_gone = gone;
  // Long work asks now and then whether anybody waits for it.
  socket_.async_wait(Socket::wait_read, [self = shared_from_this(), gone](error_code error) {
    char next = 0;
    if (error || recv(self->socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
      *gone = true;
  });
  host_.handle(shared_from_this(), std::move(request));
}

// --------------------------------------------------------------------------------------- writing

void Session::refuse(int status, const std::string& message) {
  const bool whole = phase_ == Phase::kWorking;
  if (!whole && host_.options.observer.refused) host_.options.observer.refused(status);
  HttpResponse response;
  response.status = status;
  response.body = host_.options.error_body ? host_.options.error_body(status, message, request_.id)
                                           : "{\"error\":{}}";
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  response.close = !whole;
  if (!whole) {
    keep_alive_ = false;
    head_only_ = false;
    asked_at_ = steady_clock::now();
    phase_ = Phase::kWorking;
  }
  answer(std::move(response));
}

std::string Session::head_of(const HttpResponse& response) const {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     std::string(reason_phrase(response.status)) + "\r\nDate: " + http_date() +
                     "\r\n";
  if (response.status != 204) head += "Content-Type: " + response.content_type + "\r\n";
  for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
  if (response.events) {
    if (!http_1_0_) head += "Transfer-Encoding: chunked\r\n";
  } else if (response.status != 204) {
    head += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  head += keep_alive_ ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  return head + "\r\n";
}

void Session::answer(HttpResponse response) {
  if (phase_ == Phase::kEnded) return;
  if (response.close || host_.stopping || (response.events && http_1_0_)) keep_alive_ = false;
  const std::chrono::duration<double> took = steady_clock::now() - asked_at_;
  if (parser_ && host_.options.observer.answered)
    host_.options.observer.answered(request_, response, took.count());
  std::shared_ptr<EventSource> events = head_only_ ? nullptr : response.events;
  std::string head = head_of(response);
  if (head_only_) response.body.clear();
  phase_ = Phase::kWriting;
  const std::size_t kilobytes = response.body.size() >> 10;
  set_deadline(host_.options.limits.write_time + std::chrono::milliseconds(kilobytes * 16));
  if (events) {
    events_ = std::move(events);
    response.body.clear();
  }
  write(std::move(head), std::move(response.body));
}

void Session::write(std::string head, std::string body) {
  out_head_ = std::move(head);
  out_body_ = std::move(body);
  const std::array<net::const_buffer, 2> parts = {net::buffer(out_head_), net::buffer(out_body_)};
  net::async_write(socket_, parts, [self = shared_from_this()](error_code error, std::size_t) {
    self->on_written(error);
  });
}

void Session::on_written(error_code error) {
  if (phase_ == Phase::kEnded) return;
  out_body_ = std::string();
  if (error) {
    end();
  } else if (events_) {
    begin_stream(events_);
  } else if (keep_alive_) {
    next_request();
  } else {
    linger();
  }
}

// --------------------------------------------------------------------------- server-sent events

void Session::begin_stream(std::shared_ptr<EventSource> events) {
  phase_ = Phase::kStreaming;
  deadline_.cancel();
  watch_for_end_of_client();
  events->wake_by([&io = host_.io, weak = weak_from_this()] {
    net::post(io, [weak] {
      if (const auto self = weak.lock()) self->pump_stream();
    });
  });
  pump_stream();
}

void Session::watch_for_end_of_client() {
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](error_code error, std::size_t size) {
                            if (self->phase_ != Phase::kStreaming) return;
                            if (error || (self->discarded_ += size) > kMostDiscarded) {
                              self->end();
                              return;
                            }
                            self->watch_for_end_of_client();
                          });
}

void Session::pump_stream() {
  if (phase_ != Phase::kStreaming || stream_writes_) return;
  EventSource::Piece piece = events_->take();
  stream_last_ = piece.last || host_.stopping;
  if (piece.text.empty() && !stream_last_) return;
  out_body_.clear();
  if (http_1_0_) {
    out_body_ = std::move(piece.text);
  } else {
    if (!piece.text.empty()) {
      std::array<char, 24> size{};
      std::snprintf(size.data(), size.size(), "%zx\r\n", piece.text.size());
      out_body_ = size.data() + piece.text + "\r\n";
    }
    if (stream_last_) out_body_ += "0\r\n\r\n";
  }
  stream_writes_ = true;
  set_deadline(host_.options.limits.write_time);
  net::async_write(socket_, net::buffer(out_body_),
                   [self = shared_from_this()](error_code error, std::size_t) {
                     if (self->phase_ != Phase::kStreaming) return;
                     self->stream_writes_ = false;
                     self->deadline_.cancel();
                     if (error || self->stream_last_) return self->end_stream();
                     self->pump_stream();
                   });
}

void Session::end_stream() {
  events_->wake_by({});
  events_.reset();
  end();
}

// ---------------------------------------------------------------------------------------- ending

void Session::stop_when_idle() {
  error_code ignored;
  if (phase_ == Phase::kIdle && buffer_.size() == 0 && socket_.available(ignored) == 0) {
    end();
  } else if (phase_ == Phase::kStreaming) {
    pump_stream();
  }
}

void Session::give_way() {
  error_code ignored;
  if (phase_ == Phase::kIdle) {
    end();
    return;
  }
  gave_way_ = true;
  socket_.cancel(ignored);
}

/// The client may still be sending what we refused. Closing now would reset the connection, and it
/// would never read our answer.
void Session::linger() {
  error_code ignored;
  phase_ = Phase::kLingering;
  socket_.shutdown(Socket::shutdown_send, ignored);
  set_deadline(kLingerTime);
  discard();
}

void Session::discard() {
  buffer_.clear();
  socket_.async_read_some(buffer_.prepare(64 << 10),
                          [self = shared_from_this()](error_code error, std::size_t size) {
                            if (self->phase_ == Phase::kEnded) return;
                            if (error || (self->discarded_ += size) > kMostDiscarded) {
                              self->end();
                              return;
                            }
                            self->discard();
                          });
}

void Session::end() {
  if (phase_ == Phase::kEnded) return;
  const auto self = shared_from_this();
  phase_ = Phase::kEnded;
  if (events_) events_->wake_by({});
  error_code ignored;
  deadline_.cancel();
  socket_.close(ignored);
  host_.finished(*this);
}

}  // namespace nearlite::server
