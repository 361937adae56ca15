#include "service_signals.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

namespace nearlite::cli {
namespace {

sigset_t service_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  return signals;
}

}  // namespace

void ServiceSignals::block() {
  const sigset_t signals = service_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

ServiceSignals::ServiceSignals(std::function<void()> stop, std::function<void()> reload) {
  thread_ = std::thread([stop = std::move(stop), reload = std::move(reload)] {
    const sigset_t signals = service_signals();
    bool stopping = false;
    for (int signal = 0; sigwait(&signals, &signal) == 0;) {
      if (signal == SIGUSR1) return;  // from our destructor
      if (signal == SIGHUP) {
        if (!stopping) reload();
        continue;
      }
      if (stopping) _exit(128 + signal);
      stopping = true;
      stop();
    }
  });
}

ServiceSignals::~ServiceSignals() {
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

void ServiceNotifier::tell(const std::string& state) const noexcept {
  sockaddr_un place{};
  if (socket_path_.empty() || socket_path_.size() >= sizeof place.sun_path) return;
  place.sun_family = AF_UNIX;
  std::memcpy(place.sun_path, socket_path_.data(), socket_path_.size());
  if (place.sun_path[0] == '@') place.sun_path[0] = '\0';  // an abstract socket
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_path_.size());
  sendto(socket, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&place),
         size);
  close(socket);
}

}  // namespace nearlite::cli
