#include "nearlite/base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

/// A file descriptor that is closed with the scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::int64_t modified_ns(const struct stat& info) {
  return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

/// Opens for reading without ever blocking on a FIFO; anything but a regular file is refused.
int open_regular(const std::filesystem::path& file, struct stat& info) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw_errno("cannot open " + file.string(), errno);
  if (::fstat(fd, &info) != 0) {
    const int code = errno;
    ::close(fd);
    throw_errno("cannot stat " + file.string(), code);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    throw CorruptData(file.string() + " is not a regular file");
  }
  return fd;
}

}  // namespace

std::optional<FileStamp> stamp_of(const std::filesystem::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot look at " + file.string(), errno);
  }
  return FileStamp{.size_bytes = static_cast<std::uint64_t>(info.st_size),
                   .modified_ns = modified_ns(info),
                   .inode = info.st_ino};
}

std::string read_file(const std::filesystem::path& file, std::uint64_t max_bytes) {
  struct stat info {};
  const Descriptor descriptor(open_regular(file, info));
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > max_bytes) {
    throw CorruptData(file.string() + " has " + std::to_string(size) + " bytes, the limit is " +
                      std::to_string(max_bytes));
  }
  std::string content(size, '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = ::read(descriptor.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read " + file.string(), errno);
    if (got == 0) break;  // cut while we read: return what is there, the caller's checks decide
    done += static_cast<std::size_t>(got);
  }
  content.resize(done);
  return content;
}

MappedFile::MappedFile(const std::filesystem::path& file) {
  struct stat info {};
  Descriptor descriptor(open_regular(file, info));
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ > 0) {  // mmap refuses length 0; an empty view is right
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor.get(), 0);
    if (address == MAP_FAILED) throw_errno("cannot map " + file.string(), errno);
    data_ = static_cast<const std::byte*>(address);
  }
  modified_ns_ = modified_ns(info);
  fd_ = descriptor.release();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)),
      modified_ns_(other.modified_ns_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  std::swap(modified_ns_, other.modified_ns_);
  return *this;
}

bool MappedFile::is_unchanged() const noexcept {
  struct stat info {};
  return ::fstat(fd_, &info) == 0 && static_cast<std::size_t>(info.st_size) == size_ &&
         modified_ns(info) == modified_ns_;
}

void MappedFile::advise(int advice) const noexcept {
  if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, advice);
}

void MappedFile::copy(std::size_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const ssize_t got = ::pread(fd_, to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read a mapped file", errno);
    if (got == 0) throw CorruptData("a mapped file was cut while it was read");
    offset += static_cast<std::size_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

AtomicFile::AtomicFile(std::filesystem::path target, unsigned mode) : target_(std::move(target)) {
  static std::atomic<unsigned> counter{0};
  const std::string suffix = ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  temporary_ = target_;
  temporary_ += suffix;
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd_ < 0 && errno == EEXIST) {  // left by a killed process with our pid: nobody else uses it
    ::unlink(temporary_.c_str());
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  }
  if (fd_ < 0) throw_errno("cannot create " + temporary_.string(), errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_errno("cannot write " + temporary_.string(), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    size_ += static_cast<std::uint64_t>(put);
  }
}

void AtomicFile::commit() {
  // Opened anew, because a library may have replaced the temporary file by one of its own.
  const Descriptor written(::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC));
  if (written.get() < 0) throw_errno("cannot open " + temporary_.string(), errno);
  if (::fsync(written.get()) != 0) throw_errno("cannot sync " + temporary_.string(), errno);
  if (::close(std::exchange(fd_, -1)) != 0)
    throw_errno("cannot close " + temporary_.string(), errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    throw_errno("cannot rename " + temporary_.string() + " to " + target_.string(), errno);
  }
  temporary_.clear();  // it is the target now
  sync_folder(target_.parent_path());
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path place = folder.empty() ? "." : folder;
  const Descriptor descriptor(::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0) throw_errno("cannot open folder " + place.string(), errno);
  if (::fsync(descriptor.get()) != 0 && errno != EINVAL) {  // EINVAL: a file system without it
    throw_errno("cannot sync folder " + place.string(), errno);
  }
}

}  // namespace nearlite
