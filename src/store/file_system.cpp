#include "file_system.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

namespace nearlite {

std::string_view network_name_of(unsigned long type) noexcept {
  switch (type & 0xffffffffUL) {  // statfs gives some of them a sign
    case 0x6969:
      return "NFS";
    case 0x517b:
    case 0xff534d42:
    case 0xfe534d42:
      return "SMB";
    case 0x00c36400:
      return "Ceph";
    case 0x5346414f:
    case 0x6b414653:
      return "AFS";
    case 0x0bd00bd0:
      return "Lustre";
    case 0x47504653:
      return "GPFS";
    default:
      return {};
  }
}

std::string_view network_file_system(std::filesystem::path folder) {
  struct statfs system {};
  while (::statfs(folder.c_str(), &system) != 0) {
    if (errno != ENOENT || !folder.has_parent_path() || folder == folder.parent_path()) return {};
    folder = folder.parent_path();
  }
  return network_name_of(static_cast<unsigned long>(system.f_type));
}

bool is_writable_place(const std::filesystem::path& file) {
  const auto may_write = [](const std::filesystem::path& path) {
    return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0 ||
           (errno != EACCES && errno != EROFS);
  };
  return may_write(file) && may_write(file.parent_path().empty() ? "." : file.parent_path());
}

}  // namespace nearlite
