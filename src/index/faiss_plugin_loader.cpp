#include "faiss_plugin_loader.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/index/faiss_index.h"

namespace nearlite {
namespace {

constexpr const char* kLibrary = "libnearlite_faiss.so";

/// The executable's or shared object's folder that this code is in, and the executable's own.
std::vector<std::filesystem::path> own_folders() {
  std::vector<std::filesystem::path> folders;
  std::error_code failed;
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (!failed) folders.push_back(executable.parent_path());
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&load_faiss_plugin), &info) != 0 &&
      info.dli_fname != nullptr) {
    const auto object = std::filesystem::weakly_canonical(info.dli_fname, failed);
    if (!failed && (folders.empty() || object.parent_path() != folders.front())) {
      folders.push_back(object.parent_path());
    }
  }
  return folders;
}

std::vector<std::filesystem::path> places(const std::filesystem::path& explicit_path) {
  if (!explicit_path.empty()) return {explicit_path};
  std::vector<std::filesystem::path> files;
  for (const auto& folder : own_folders()) {
    files.push_back(folder / kLibrary);
    files.push_back(folder.parent_path() / "lib" / "nearlite" / kLibrary);
    files.push_back(folder.parent_path() / "lib" / kLibrary);
  }
  return files;
}

std::filesystem::path find_library(const std::filesystem::path& explicit_path) {
  std::string looked;
  for (const auto& file : places(explicit_path)) {
    std::error_code failed;
    if (std::filesystem::is_regular_file(file, failed)) return file;
    looked += (looked.empty() ? "" : ", ") + file.string();
  }
  throw NotFound("this build has annoy and flat, but no FAISS plugin: looked for " + looked,
                 "build nearlite with -DNEARLITE_FAISS=ON (Debian: libfaiss-dev) and put "
                 "libnearlite_faiss.so beside "
                 "the program or into ../lib/nearlite, or use the backend annoy or flat");
}

std::shared_ptr<const FaissPlugin> load(const std::filesystem::path& file) {
  // LOCAL: the names of FAISS and BLAS stay out of everybody else's way. NODELETE: OpenMP's threads
  // outlive a dlclose.
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* reason = ::dlerror();
    throw NotFound("FAISS plugin " + file.string() +
                       " cannot be loaded: " + (reason != nullptr ? reason : "unknown"),
                   "install what it needs (Debian: libopenblas0 libgomp1)");
  }
  const auto entry = reinterpret_cast<NearliteFaissEntry>(::dlsym(library, kNearliteFaissSymbol));
  const NearliteFaissApi* api = entry != nullptr ? entry() : nullptr;
  if (api == nullptr || api->abi != kNearliteFaissAbi) {
    throw CorruptData(file.string() + " is not a FAISS plugin of this version of nearlite",
                      "install the plugin that came with this program");
  }
  return std::make_shared<const FaissPlugin>(file, api);
}

}  // namespace

std::shared_ptr<const FaissPlugin> load_faiss_plugin(const std::filesystem::path& explicit_path) {
  static std::mutex loading;
  static std::map<std::filesystem::path, std::shared_ptr<const FaissPlugin>> loaded;
  const std::filesystem::path file = find_library(explicit_path);
  const std::lock_guard lock(loading);
  auto& plugin = loaded[file];
  if (!plugin) plugin = load(file);
  return plugin;
}

}  // namespace nearlite
