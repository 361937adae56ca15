#include <fcntl.h>

#include <cerrno>
#include <csignal>
#include <new>

#include "command_line.h"
#include "context.h"
#include "nearlite/base/error.h"
#include "stop_signal.h"

namespace {

using namespace nearlite;
using namespace nearlite::cli;

/// A program started with a closed stdin, stdout or stderr would get a database or a socket under
/// that number, and messages would be written into it.
void occupy_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd) _exit(6);
    }
  }
}

/// One line on stderr and, in the forms for programs, the error as JSON on stdout.
int report(Context& context, const char* type, const std::string& message, const std::string& hint,
           int exit_code) {
  context.warn(hint.empty() ? message : message + "; " + hint);
  if (context.machine_form()) {
    try {
      context.put_json({{"error", {{"type", type}, {"message", message}, {"hint", hint}}}});
      context.out.flush();
    } catch (const Error&) {
      return exit_code;  // stdout cannot be written: stderr has the message
    }
  }
  return exit_code;
}

int run(Context& context, int argc, char** argv) {
  try {
    const Action action = read_command_line(argc, argv, context);
    const int exit_code = action ? action() : 0;
    context.out.flush();
    return exit_code;
  } catch (const Error& error) {
    return report(context, error.type(), error.what(), error.hint(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return report(context, "Unavailable", "out of memory", "", 4);
  } catch (const std::exception& error) {
    return report(context, "InternalError", error.what(),
                  "this is a defect of nearlite, please report it", 6);
  }
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_descriptors();
  end_on_signals();
  std::signal(
      SIGPIPE,
      SIG_IGN);  // a closed pipe is noticed at the write, and files of ours are closed properly
  try {
    Context context(Environment::read());
    return run(context, argc, argv);
  } catch (const Interrupted& interrupted) {
    return interrupted.exit_code;
  } catch (const OutputClosed&) {
    return 128 + SIGPIPE;
  }
}
