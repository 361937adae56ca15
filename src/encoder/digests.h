#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "nearlite/base/files.h"

namespace nearlite {

/// SHA-256 of files, remembered in one small JSON file under path, size, modification time and
/// inode: a weight file of 90 MB takes 60 ms to hash and 1 s on a processor without SHA
/// instructions, which every start would pay. A digest is used only if all four agree. What cannot
/// be read or written is simply not remembered.
class DigestCache {
 public:
  explicit DigestCache(std::filesystem::path file);

  struct Digest {
    std::string sha256;  // 64 hex digits
    FileStamp stamp;
  };
  /// Throws NotFound or Unavailable; CorruptData if the file was changed while it was read.
  Digest digest(const std::filesystem::path& file);
  /// Writes what is new. Never throws: the next start hashes again then.
  void save() noexcept;

 private:
  std::filesystem::path file_;
  std::map<std::string, Digest> known_;
  bool changed_ = false;
};

}  // namespace nearlite
