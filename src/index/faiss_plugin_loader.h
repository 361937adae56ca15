#pragma once

#include <filesystem>
#include <string>

#include "faiss_plugin/faiss_plugin.h"

namespace nearlite {

/// The functions of a loaded plugin; lives as long as the process, since OpenMP cannot be unloaded.
class FaissPlugin {
 public:
  FaissPlugin(std::filesystem::path file, const NearliteFaissApi* api)
      : file_(std::move(file)), api_(api) {}
  const NearliteFaissApi& api() const noexcept { return *api_; }
  const std::filesystem::path& file() const noexcept { return file_; }

 private:
  std::filesystem::path file_;
  const NearliteFaissApi* api_;
};

}  // namespace nearlite
