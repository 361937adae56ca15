// A file layer between a process and the system, for LD_PRELOAD. With NEARLITE_TEST_DISK_LOG it
// records every change of a file (disk_layer.h); with NEARLITE_TEST_DISK_SPACE the disk is full
// after that many more bytes. Only files below NEARLITE_TEST_DISK_FOLDER are looked at.
#include "disk_layer.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

namespace nearlite::fault_test {
namespace {

struct Layer {
  std::string folder;
  int log = -1;
  bool is_limited = false;
  std::int64_t space = 0;
  std::recursive_mutex mutex;
  std::map<int, std::uint32_t> files;       // by descriptor
  std::map<int, std::string> folders;       // by descriptor
  std::map<ino_t, std::uint32_t> by_inode;  // of files that have a name
  std::uint32_t last_id = 0;

  Layer() {
    const char* folder_name = std::getenv("NEARLITE_TEST_DISK_FOLDER");
    if (folder_name == nullptr) return;
    folder = std::string(folder_name) + "/";
    if (const char* name = std::getenv("NEARLITE_TEST_DISK_LOG"))
      log = static_cast<int>(
          ::syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (const char* bytes = std::getenv("NEARLITE_TEST_DISK_SPACE")) {
      is_limited = true;
      space = std::atoll(bytes);
    }
  }

  bool is_ours(const std::string& path) const {
    return !folder.empty() && (path + "/").compare(0, folder.size(), folder) == 0;
  }
  void record(char kind, std::uint32_t id, std::uint64_t offset, const void* data,
              std::size_t size) {
    if (log < 0) return;
    const DiskRecord head{kind, id, offset, size};
    std::string all(reinterpret_cast<const char*>(&head), sizeof head);
    all.append(static_cast<const char*>(data), size);
    if (::syscall(SYS_write, log, all.data(), all.size()) < 0) std::abort();
  }
  void record(char kind, std::uint32_t id, const std::string& text) {
    record(kind, id, 0, text.data(), text.size());
  }
  /// How many of `size` bytes at `offset` fit on the disk; takes them from it.
  std::size_t take(int fd, std::uint64_t offset, std::size_t size) {
    if (!is_limited) return size;
    struct stat status {};
    ::fstat(fd, &status);
    const auto end = static_cast<std::int64_t>(offset + size);
    const std::int64_t growth = std::max<std::int64_t>(0, end - status.st_size);
    const std::int64_t given = std::min(growth, space);
    space -= given;
    return size - static_cast<std::size_t>(growth - given);
  }
};

Layer& layer() {
  static auto* made = new Layer;  // used until the process is gone
  return *made;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string absolute(const char* path) {
  if (path[0] == '/') return path;
  char here[4096];
  return ::getcwd(here, sizeof here) == nullptr ? path : std::string(here) + "/" + path;
}

/// The system's own openat, and a note of what was opened.
int open_noted(int at, const char* path, int flags, mode_t mode) {
  Layer& disk = layer();
  const std::string name = absolute(path);
  if (!disk.is_ours(name)) return static_cast<int>(::syscall(SYS_openat, at, path, flags, mode));
  const std::lock_guard lock(disk.mutex);
  struct stat status {};
  const bool existed = ::stat(name.c_str(), &status) == 0;
  const int fd = static_cast<int>(::syscall(SYS_openat, at, path, flags, mode));
  if (fd < 0 || ::fstat(fd, &status) != 0) return fd;
  disk.files.erase(fd);
  disk.folders.erase(fd);
  if (S_ISDIR(status.st_mode)) {
    disk.folders[fd] = name;
    return fd;
  }
  if (!S_ISREG(status.st_mode)) return fd;
  auto known = disk.by_inode.find(status.st_ino);
  if (known == disk.by_inode.end() || !existed) {
    disk.by_inode[status.st_ino] = ++disk.last_id;
    known = disk.by_inode.find(status.st_ino);
    disk.record(existed ? kDiskFound : kDiskCreated, known->second, name);
  }
  disk.files[fd] = known->second;
  if (existed && (flags & O_TRUNC) != 0) disk.record(kDiskCut, known->second, 0, "", 0);
  return fd;
}

ssize_t write_noted(int fd, const void* data, std::size_t size, std::int64_t offset) {
  Layer& disk = layer();
  const std::lock_guard lock(disk.mutex);
  const bool at_end = offset < 0;
  const auto put = [&](std::size_t count) {
    return at_end ? ::syscall(SYS_write, fd, data, count)
                  : ::syscall(SYS_pwrite64, fd, data, count, offset);
  };
  const auto file = disk.files.find(fd);
  if (file == disk.files.end()) {
    const auto written = put(size);
    if (fd == 1 && written > 0)
      disk.record(kDiskSaid, 0, 0, data, static_cast<std::size_t>(written));
    return written;
  }
  if (at_end) offset = ::lseek(fd, 0, SEEK_CUR);
  const std::size_t fits = disk.take(fd, static_cast<std::uint64_t>(offset), size);
  if (fits == 0 && size > 0) {
    errno = ENOSPC;
    return -1;
  }
  const auto written = put(fits);
  if (written > 0)
    disk.record(kDiskWritten, file->second, static_cast<std::uint64_t>(offset), data,
                static_cast<std::size_t>(written));
  return written;
}

int sync_noted(int fd, long call) {
  Layer& disk = layer();
  const std::lock_guard lock(disk.mutex);
  const int result = static_cast<int>(::syscall(call, fd));
  if (result != 0) return result;
  if (const auto file = disk.files.find(fd); file != disk.files.end())
    disk.record(kDiskSynced, file->second, 0, "", 0);
  if (const auto folder = disk.folders.find(fd); folder != disk.folders.end())
    disk.record(kDiskNamesSaved, 0, folder->second);
  return result;
}

int cut_noted(int fd, off_t size) {
  Layer& disk = layer();
  const std::lock_guard lock(disk.mutex);
  const auto file = disk.files.find(fd);
  if (file != disk.files.end() && disk.take(fd, static_cast<std::uint64_t>(size), 0) == 0 &&
      disk.is_limited) {
    struct stat status {};
    ::fstat(fd, &status);
    const std::int64_t growth = size - status.st_size;
    if (growth > disk.space) {
      errno = ENOSPC;
      return -1;
    }
    disk.space -= std::max<std::int64_t>(0, growth);
  }
  const int result = static_cast<int>(::syscall(SYS_ftruncate, fd, size));
  if (result == 0 && file != disk.files.end())
    disk.record(kDiskCut, file->second, static_cast<std::uint64_t>(size), "", 0);
  return result;
}

void forget(Layer& disk, const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) disk.by_inode.erase(status.st_ino);
}

}  // namespace
}  // namespace nearlite::fault_test

using namespace nearlite::fault_test;  // NOLINT(google-build-using-namespace): C functions below

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_noted(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_noted(AT_FDCWD, path, flags, mode);
}
ssize_t write(int fd, const void* data, size_t size) { return write_noted(fd, data, size, -1); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return write_noted(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  return write_noted(fd, data, size, offset);
}
int fsync(int fd) { return sync_noted(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_noted(fd, SYS_fdatasync); }
int ftruncate(int fd, off_t size) noexcept { return cut_noted(fd, size); }
int ftruncate64(int fd, off64_t size) noexcept { return cut_noted(fd, size); }
int close(int fd) {
  Layer& disk = layer();
  const std::lock_guard lock(disk.mutex);
  disk.files.erase(fd);
  disk.folders.erase(fd);
  return static_cast<int>(::syscall(SYS_close, fd));
}
int rename(const char* from, const char* to) noexcept {
  Layer& disk = layer();
  const std::lock_guard lock(disk.mutex);
  const std::string new_name = absolute(to);
  if (disk.is_ours(new_name)) forget(disk, new_name);
  const int result = static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
  if (result == 0 && disk.is_ours(new_name))
    disk.record(kDiskRenamed, 0, absolute(from) + '\0' + new_name);
  return result;
}
int unlink(const char* path) noexcept {
  Layer& disk = layer();
  const std::lock_guard lock(disk.mutex);
  const std::string name = absolute(path);
  if (disk.is_ours(name)) forget(disk, name);
  const int result = static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
  if (result == 0 && disk.is_ours(name)) disk.record(kDiskRemoved, 0, name);
  return result;
}
int remove(const char* path) noexcept {
  struct stat status {};
  if (::lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) return ::rmdir(path);
  return unlink(path);
}

}  // extern "C"
