#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace nearlite {

enum class FolderPlace { kTemporary, kMemory };

/// A folder of its own that goes away with the object. kMemory: in memory where there is such a
/// place, for tests in which every commit would wait for the disk.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(FolderPlace place = FolderPlace::kTemporary) {
    const std::filesystem::path memory = "/dev/shm";
    const bool in_memory = place == FolderPlace::kMemory && ::access(memory.c_str(), W_OK) == 0;
    const auto root = in_memory ? memory : std::filesystem::temp_directory_path();
    std::string pattern = (root / "nearlite-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace nearlite
