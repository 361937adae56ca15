#include "stop_signal.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "nearlite/base/error.h"
#include "output.h"

namespace nearlite::cli {
namespace {

// Reached from the signal handler, which can do nothing but write a byte: the watcher thread does
// the rest.
volatile std::sig_atomic_t first_signal = 0;
int pipe_to_watcher = -1;
int pipe_of_watcher = -1;

extern "C" void on_signal(int signal) {
  if (first_signal != 0) _exit(128 + signal);
  first_signal = signal;
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(pipe_to_watcher, "s", 1);
  errno = error;
}

extern "C" void end_at_once(int signal) { _exit(128 + signal); }

void handle(int signal, void (*handler)(int)) {
  struct sigaction now {};
  sigaction(signal, nullptr, &now);
  if (now.sa_handler == SIG_IGN) return;  // started with nohup or in the background: stays ignored
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = handler;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void end_on_signals() {
  handle(SIGINT, &end_at_once);
  handle(SIGTERM, &end_at_once);
}

StopOnSignal::StopOnSignal() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("cannot make a pipe", errno);
  pipe_of_watcher = ends[0];
  pipe_to_watcher = ends[1];
  first_signal = 0;
  watcher_ = std::thread([this] {
    char byte = 0;
    while (read(pipe_of_watcher, &byte, 1) == 1 && byte == 's') {
      write_message("\nnearlite: stopping after this batch (again: at once)\n");
      source_.request_stop();
    }
  });
  handle(SIGINT, &on_signal);
  handle(SIGTERM, &on_signal);
}

StopOnSignal::~StopOnSignal() {
  handle(SIGINT, &end_at_once);
  handle(SIGTERM, &end_at_once);
  [[maybe_unused]] const ssize_t written = write(pipe_to_watcher, "q", 1);
  watcher_.join();
  close(pipe_to_watcher);
  close(pipe_of_watcher);
}

int StopOnSignal::exit_code() const noexcept { return first_signal == 0 ? 0 : 128 + first_signal; }

}  // namespace nearlite::cli
