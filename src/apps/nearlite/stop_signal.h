#pragma once

#include <stop_token>
#include <thread>

namespace nearlite::cli {

/// Thrown when a signal ended work that cannot be kept in part: the program ends with this exit
/// code.
struct Interrupted {
  int exit_code;
};

/// From now on Ctrl-C and SIGTERM end the program at once with 130 and 143, as exit codes of its
/// own.
void end_on_signals();

/// While it lives, the first Ctrl-C or SIGTERM requests a stop (the running batch is finished) and
/// the second ends the program at once. Outside of it both end the program at once. One object at a
/// time.
class StopOnSignal {
 public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  /// 130 after Ctrl-C, 143 after SIGTERM, 0 when nothing was asked.
  int exit_code() const noexcept;

 private:
  std::stop_source source_;
  std::thread watcher_;
};

}  // namespace nearlite::cli
