#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>

namespace nearlite {

/// Runs `body` where this folder cannot be written to, in a process of its own: as somebody else if
/// we are the superuser, who may write everywhere. True if `body` was.
inline bool holds_read_only(const std::filesystem::path& folder,
                            const std::function<bool()>& body) {
  ::chmod(folder.c_str(), 0555);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) ::_exit(3);
    bool holds = false;
    try {
      holds = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(holds ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::chmod(folder.c_str(), 0755);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace nearlite
