#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nearlite {

/// What tells quickly whether a file was changed: compare two stamps before hashing again.
struct FileStamp {
  std::uint64_t size_bytes = 0;
  std::int64_t modified_ns = 0;  // since the epoch
  std::uint64_t inode = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

/// Nothing if there is no such file. Throws Unavailable if it cannot be looked at.
std::optional<FileStamp> stamp_of(const std::filesystem::path& file);

/// The whole regular file. Throws NotFound, Unavailable, or CorruptData if it is larger than
/// `max_bytes` or not a regular file (a FIFO or device is never read from).
std::string read_file(const std::filesystem::path& file,
                      std::uint64_t max_bytes = std::uint64_t{64} << 20);

/// A regular file mapped read-only. Movable; the view stays valid while the object lives, also
/// after the file was replaced by rename. Const use is safe from several threads.
class MappedFile {
 public:
  /// Throws NotFound, Unavailable, or CorruptData if it is not a regular file.
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  /// False once the mapped file itself was written to or cut (not when another one took its name).
  /// Reading past the end of a file that was cut ends the process, so look before each longer use.
  bool is_unchanged() const noexcept;
  /// Tells the kernel how pages will be used (an madvise value).
  void advise(int advice) const noexcept;
  /// Copies bytes from the file, so that none of its pages are mapped for it. Throws CorruptData if
  /// the file ends before them, Unavailable if it cannot be read.
  void copy(std::size_t offset, std::span<std::byte> to) const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
  std::int64_t modified_ns_ = 0;
};

/// Writes a file so that readers see the old content or the new one, never a part: a temporary file
/// in the same folder (O_EXCL, mode as given), every write checked, fsync, rename, fsync of the
/// folder. Not committed when destroyed: the temporary file is removed and the old content stays.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target, unsigned mode = 0644);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws Unavailable (disk full, I/O error); the attempt is over then.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  std::uint64_t size_bytes() const noexcept { return size_; }
  /// Where the bytes are before commit(): for libraries that write to a path themselves. They must
  /// overwrite this file in place or replace it.
  const std::filesystem::path& temporary_path() const noexcept { return temporary_; }
  /// Makes the file durable and moves it into place. Throws Unavailable; the target is unchanged
  /// then.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

/// fsync of a folder, so that names created, renamed or removed in it are durable.
void sync_folder(const std::filesystem::path& folder);

/// Bytes of memory as a view of bytes, for writing arrays of plain values.
template <typename T>
std::span<const std::byte> bytes_of(std::span<const T> values) {
  return std::as_bytes(values);
}

}  // namespace nearlite
