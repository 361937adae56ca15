#include "nearlite/server/http_server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <map>
#include <set>

#include "http_session.h"
#include "listen_socket.h"
#include "nearlite/base/error.h"

namespace nearlite::server {

namespace net = boost::asio;
using Protocol = net::generic::stream_protocol;
using boost::system::error_code;

/// Accepts connections of one socket.
class Listener {
 public:
  Listener(net::io_context& io, const ListenAddress& address,
           std::function<void(Protocol::socket)> accepted, std::function<void()> out_of_places)
      : address_(address),
        acceptor_(io),
        retry_(io),
        accepted_(std::move(accepted)),
        out_of_places_(std::move(out_of_places)) {
    const int socket = open_listening_socket(address);
    acceptor_.assign(Protocol(family_of(socket), 0), socket);
    acceptor_.non_blocking(true);
  }
  ~Listener() {
    std::error_code ignored;
    if (!address_.unix_path.empty()) std::filesystem::remove(address_.unix_path, ignored);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void accept_next() {
    acceptor_.async_accept([this](error_code error, Protocol::socket socket) {
      if (error == net::error::operation_aborted || !acceptor_.is_open()) return;
      if (!error) {
        take(std::move(socket));
        accept_next();
        return;
      }
      // Out of descriptors or memory: asking again at once would only burn the processor.
      out_of_places_();
      retry_.expires_after(std::chrono::milliseconds(100));
      retry_.async_wait([this](error_code stopped) {
        if (!stopped) accept_next();
      });
    });
  }

  /// Takes the connections that the kernel has already made, then no more.
  void close() {
    error_code error;
    while (!error) {
      Protocol::socket socket(acceptor_.get_executor());
      acceptor_.accept(socket, error);
      if (!error) take(std::move(socket));
    }
    retry_.cancel();
    acceptor_.close(error);
  }

  unsigned short port() { return port_of_socket(acceptor_.native_handle()); }

 private:
  /// Asio accepts without SOCK_CLOEXEC.
  void take(Protocol::socket socket) {
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
    accepted_(std::move(socket));
  }

  ListenAddress address_;
  net::basic_socket_acceptor<Protocol> acceptor_;
  net::steady_timer retry_;
  std::function<void(Protocol::socket)> accepted_;
  std::function<void()> out_of_places_;
};

struct HttpServer::State : SessionHost {
  State(Options given, Handler given_handler)
      : SessionHost(given),
        handler(std::move(given_handler)),
        workers(options.workers),
        waiters(options.waiters),
        drain(io) {
    for (const ListenAddress& address : options.addresses) {
      listeners.push_back(std::make_unique<Listener>(
          io, address, [this](Protocol::socket socket) { welcome(std::move(socket)); },
          [this] { make_room(); }));
    }
  }

  void welcome(Protocol::socket socket) {
    const Peer peer = peer_of(socket.native_handle());
    if (!peer.local && per_address[peer.address] >= options.limits.max_connections_per_address) {
      if (options.observer.refused) options.observer.refused(429);
      return;  // closed: one address has no right to all connections
    }
    if (sessions.size() >= options.limits.max_connections) make_room();
    auto session = std::make_shared<Session>(*this, std::move(socket), peer.address);
    sessions.insert(session.get());
    ++per_address[peer.address];
    session->start(sessions.size() > options.limits.max_connections);
  }

  /// Ends the connection that has been slow for longest, else the one that was idle for longest.
  void make_room() {
    Session* slowest = nullptr;
    for (Session* session : sessions) {
      if (!session->is_waiting_for_client()) continue;
      if (slowest == nullptr || session->waiting_since() < slowest->waiting_since())
        slowest = session;
    }
    if (slowest != nullptr) slowest->give_way();
  }

  void finished(Session& session) override {
    sessions.erase(&session);
    const auto count = per_address.find(session.peer());
    if (count != per_address.end() && --count->second == 0) per_address.erase(count);
    if (stopping && sessions.empty()) drain.cancel();
  }

  void handle(std::shared_ptr<Session> session, HttpRequest request) override {
    if (options.is_quick && options.is_quick(request)) {
      session->answer(handler(request));
      return;
    }
    if (waiting >= options.limits.max_waiting) {
      session->refuse(503, "too many requests are waiting, try again in a second");
      return;
    }
    ++waiting;
    // `busy` keeps run() going while the request is with a worker.
    auto busy = net::make_work_guard(io);
    net::post(options.waits && options.waits(request) ? waiters : workers,
              [this, session = std::move(session), request = std::move(request),
               busy = std::move(busy)]() mutable {
                HttpResponse response = handler(request);
                net::post(io, [this, session = std::move(session),
                               response = std::move(response)]() mutable {
                  --waiting;
                  session->answer(std::move(response));
                });
                busy.reset();
              });
  }

  void begin_stop() {
    if (stopping) return;
    for (const auto& listener : listeners) listener->close();
    stopping = true;
    const std::set<Session*> open = sessions;  // ending one changes the set
    for (Session* session : open) session->stop_when_idle();
    if (sessions.empty()) return;
    drain.expires_after(options.limits.drain_time);
    drain.async_wait([this](error_code cancelled) {
      if (!cancelled) end_late(false);
    });
  }

  /// Clients had their time. What a worker still computes is ours to finish, within bounds.
  void end_late(bool all) {
    const std::set<Session*> late = sessions;
    for (Session* session : late) {
      if (all || !session->is_working()) session->end();
    }
    if (all || sessions.empty()) return;
    drain.expires_after(options.limits.work_time);
    drain.async_wait([this](error_code cancelled) {
      if (!cancelled) end_late(true);
    });
  }

  Handler handler;
  std::set<Session*> sessions;  // each keeps itself alive by what it waits for
  std::map<std::string, std::size_t> per_address;
  std::size_t waiting = 0;
  net::thread_pool workers;
  net::thread_pool waiters;
  net::steady_timer drain;
  std::vector<std::unique_ptr<Listener>> listeners;
};

HttpServer::HttpServer(Options options, Handler handler)
    : state_(std::make_unique<State>(std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() {
  state_->io.stop();
  state_->workers.join();
  state_->waiters.join();
}

void HttpServer::run() {
  for (const auto& listener : state_->listeners) listener->accept_next();
  state_->io.run();
  state_->workers.join();
  state_->waiters.join();
}

void HttpServer::stop() {
  net::post(state_->io, [state = state_.get()] { state->begin_stop(); });
}

unsigned short HttpServer::port() const noexcept {
  for (const auto& listener : state_->listeners) {
    if (const unsigned short port = listener->port(); port != 0) return port;
  }
  return 0;
}

}  // namespace nearlite::server
