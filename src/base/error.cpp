#include "nearlite/base/error.h"

#include <cerrno>
#include <cstring>

namespace nearlite {

void throw_errno(const std::string& action, int error_number) {
  const std::string message = action + ": " + std::strerror(error_number);
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      throw NotFound(message);
    case ENOSPC:
    case EDQUOT:
      throw Unavailable(message, "make room on the disk and run the same command again");
    default:
      throw Unavailable(message);
  }
}

}  // namespace nearlite
