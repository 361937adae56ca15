#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "listen_socket.h"
#include "nearlite/base/error.h"

namespace nearlite::server {
namespace {

constexpr std::string_view kForms = "--listen takes HOST:PORT or unix:PATH";
constexpr int kBacklog = 1024;

unsigned short port_of(const std::string& text, const std::string& digits) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port > 65535) {
    throw InvalidArgument("the address \"" + text + "\" has no port from 0 to 65535",
                          std::string(kForms));
  }
  return static_cast<unsigned short>(port);
}

union AnyAddress {
  sockaddr generic;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

/// The bytes of an IP address as the socket calls want it; its size.
socklen_t fill(const ListenAddress& address, AnyAddress& place) {
  std::memset(&place, 0, sizeof place);
  if (inet_pton(AF_INET, address.host.c_str(), &place.v4.sin_addr) == 1) {
    place.v4.sin_family = AF_INET;
    place.v4.sin_port = htons(address.port);
    return sizeof place.v4;
  }
  if (inet_pton(AF_INET6, address.host.c_str(), &place.v6.sin6_addr) == 1) {
    place.v6.sin6_family = AF_INET6;
    place.v6.sin6_port = htons(address.port);
    return sizeof place.v6;
  }
  throw InvalidArgument("\"" + address.host + "\" is not an IP address", std::string(kForms));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void listen_at(Descriptor& socket, const sockaddr* place, socklen_t size,
               const ListenAddress& address) {
  const std::string action = "cannot listen on " + address.display();
  if (bind(socket.get(), place, size) != 0) throw_errno(action, errno);
  if (listen(socket.get(), kBacklog) != 0) throw_errno(action, errno);
}

int listen_on_unix(const ListenAddress& address) {
  sockaddr_un place{};
  const std::string path = address.unix_path.string();
  if (path.size() >= sizeof place.sun_path) {
    throw InvalidArgument("the socket's path " + path + " is longer than " +
                          std::to_string(sizeof place.sun_path - 1) + " bytes");
  }
  place.sun_family = AF_UNIX;
  std::memcpy(place.sun_path, path.data(), path.size());
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) throw_errno("cannot make a socket", errno);
  struct stat there {};
  if (lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) throw InvalidArgument(path + " is there and is not a socket");
    if (connect(socket.get(), reinterpret_cast<sockaddr*>(&place), sizeof place) == 0)
      throw Unavailable("another program listens on " + path);
    unlink(path.c_str());  // left by a program that is gone
  }
  Descriptor fresh(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fresh.get() < 0) throw_errno("cannot make a socket", errno);
  const mode_t mask = umask(0177);  // 0600 from the first moment on
  try {
    listen_at(fresh, reinterpret_cast<sockaddr*>(&place), sizeof place, address);
  } catch (...) {
    umask(mask);
    throw;
  }
  umask(mask);
  return fresh.release();
}

}  // namespace

ListenAddress ListenAddress::parse(const std::string& text) {
  ListenAddress address;
  if (text.starts_with("unix:")) {
    address.unix_path = text.substr(5);
    if (address.unix_path.empty())
      throw InvalidArgument("\"" + text + "\" names no path", std::string(kForms));
    return address;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos)
    throw InvalidArgument("the address \"" + text + "\" has no port", std::string(kForms));
  address.host = text.substr(0, colon);
  if (address.host.starts_with('[') && address.host.ends_with(']'))
    address.host = address.host.substr(1, address.host.size() - 2);
  if (address.host.empty() || address.host == "localhost") address.host = "127.0.0.1";
  address.port = port_of(text, text.substr(colon + 1));
  AnyAddress place{};
  fill(address, place);
  return address;
}

bool ListenAddress::is_loopback() const {
  return !unix_path.empty() || handed_over >= 0 || host.starts_with("127.") || host == "::1";
}

std::string ListenAddress::display() const {
  if (handed_over >= 0) return "descriptor " + std::to_string(handed_over);
  if (!unix_path.empty()) return "unix:" + unix_path.string();
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" +
         std::to_string(port);
}

int open_listening_socket(const ListenAddress& address) {
  if (address.handed_over >= 0) return address.handed_over;
  if (!address.unix_path.empty()) return listen_on_unix(address);
  AnyAddress place{};
  const socklen_t size = fill(address, place);
  Descriptor socket(::socket(place.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) throw_errno("cannot make a socket", errno);
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (place.generic.sa_family == AF_INET6)
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  listen_at(socket, &place.generic, size, address);
  return socket.release();
}

int family_of(int socket) {
  AnyAddress place{};
  socklen_t size = sizeof place;
  if (getsockname(socket, &place.generic, &size) != 0)
    throw_errno("the descriptor handed over is not a socket", errno);
  return place.generic.sa_family;
}

unsigned short port_of_socket(int socket) {
  AnyAddress place{};
  socklen_t size = sizeof place;
  if (getsockname(socket, &place.generic, &size) != 0) return 0;
  if (place.generic.sa_family == AF_INET) return ntohs(place.v4.sin_port);
  if (place.generic.sa_family == AF_INET6) return ntohs(place.v6.sin6_port);
  return 0;
}

Peer peer_of(int socket) {
  AnyAddress place{};
  socklen_t size = sizeof place;
  char text[INET6_ADDRSTRLEN] = {};
  if (getpeername(socket, &place.generic, &size) != 0) return {"unix", true};
  if (place.generic.sa_family == AF_INET) {
    inet_ntop(AF_INET, &place.v4.sin_addr, text, sizeof text);
    return {text, std::string_view(text).starts_with("127.")};
  }
  if (place.generic.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &place.v6.sin6_addr, text, sizeof text);
    return {text, std::string_view(text) == "::1"};
  }
  return {"unix", true};
}

}  // namespace nearlite::server
