#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/encoder/model_choice.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/model/weights.h"

namespace nearlite {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultModel = "sentence-transformers/all-MiniLM-L6-v2";
constexpr const char* kDefaultOrganization = "sentence-transformers/";

fs::path home_folder() {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr) {
    return found->pw_dir;
  }
  return "/";  // a user without an entry: nothing will be found there, and the error will say so
}

ModelPlaces places_under(const fs::path& cache) {
  return {.hub_caches = {cache / "huggingface" / "hub"},
          .own_caches = {cache / "nearlite" / "models"}};
}

/// "organization/name" as the hub allows it: nothing that could name another folder.
bool is_hub_name(const std::string& name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos || name.find('/', slash + 1) != std::string::npos ||
      name.size() > 200) {
    return false;
  }
  const auto is_part = [](std::string_view part) {
    return !part.empty() && part.find("..") == std::string_view::npos && part.front() != '.' &&
           std::all_of(part.begin(), part.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.';
           });
  };
  return is_part(std::string_view(name).substr(0, slash)) &&
         is_part(std::string_view(name).substr(slash + 1));
}

/// Why a folder cannot be used as a model, or nothing: a download that was broken off leaves links
/// that lead nowhere and files that are cut.
std::string fault_of(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return "not there";
  for (auto entry = fs::recursive_directory_iterator(folder, ignored);
       entry != fs::recursive_directory_iterator(); entry.increment(ignored)) {
    if (entry->is_symlink(ignored) && !fs::exists(entry->path(), ignored)) {
      return entry->path().filename().string() + " is a dangling link";
    }
  }
  if (!fs::exists(folder / "modules.json", ignored) &&
      !fs::exists(folder / "config.json", ignored)) {
    return "incomplete: neither modules.json nor config.json";
  }
  try {
    for (const std::string& name : Weights::file_names(folder)) {
      if (name.ends_with(".safetensors")) SafetensorsFile{folder / name};
    }
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

/// The snapshot that refs/main names, or why there is none.
fs::path snapshot_of(const fs::path& repository, std::string& fault) {
  try {
    std::string commit = read_file(repository / "refs" / "main", 256);
    while (!commit.empty() && (commit.back() == '\n' || commit.back() == ' ')) commit.pop_back();
    const bool is_name =
        !commit.empty() && commit.find('/') == std::string::npos && commit.front() != '.';
    if (is_name) return repository / "snapshots" / commit;
    fault = "refs/main does not name a commit";
  } catch (const Error&) {
    std::error_code ignored;
    fault = fs::exists(repository, ignored) ? "no refs/main" : "not there";
  }
  return {};
}

}  // namespace

ModelPlaces ModelPlaces::standard() { return places_under(home_folder() / ".cache"); }

ModelPlaces ModelPlaces::from_environment() {
  const auto variable = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  fs::path cache = variable("XDG_CACHE_HOME");
  if (!cache.is_absolute()) {  // the XDG rule: relative paths are ignored
    const fs::path home = variable("HOME");
    cache = (home.empty() ? home_folder() : home) / ".cache";
  }
  ModelPlaces places = places_under(cache);
  if (const fs::path home = variable("HF_HOME"); !home.empty()) places.hub_caches = {home / "hub"};
  for (const char* name : {"HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"}) {  // the newer name wins
    if (const fs::path hub = variable(name); !hub.empty()) places.hub_caches = {hub};
  }
  if (const fs::path old = variable("SENTENCE_TRANSFORMERS_HOME"); !old.empty()) {
    places.hub_caches.push_back(old);
  }
  return places;
}

std::string full_model_name(const std::string& name) {
  const bool blank =
      std::all_of(name.begin(), name.end(), [](char c) { return c == ' ' || c == '\t'; });
  if (blank) return kDefaultModel;
  std::error_code ignored;
  if (name.find('/') != std::string::npos || fs::is_directory(name, ignored)) return name;
  return kDefaultOrganization + name;
}

ModelChoice model_choice_of(const std::string& name) {
  std::error_code ignored;
  const std::size_t colon = name.rfind(':');
  if (colon == std::string::npos || fs::is_directory(name, ignored)) return {name};
  const std::string_view ending = std::string_view(name).substr(colon + 1);
  for (const Precision precision :
       {Precision::kFp32, Precision::kBf16, Precision::kInt16, Precision::kInt8}) {
    if (ending == precision_name(precision)) return {name.substr(0, colon), precision};
  }
  return {name};
}

fs::path find_model(const std::string& name, const ModelPlaces& places) {
  const std::string full = full_model_name(model_choice_of(name).name);
  std::error_code ignored;
  if (fs::is_directory(full, ignored)) return full;
  if (!is_hub_name(full)) {
    throw NotFound(
        "the model '" + full.substr(0, 200) +
            "' is neither a folder that exists nor a name of the form organization/name",
        "name a sentence-transformers folder or a model such as " + std::string(kDefaultModel));
  }
  std::string looked;
  const auto try_folder = [&](const fs::path& shown, const fs::path& folder, std::string fault) {
    if (fault.empty()) fault = fault_of(folder);
    if (fault.empty()) return true;
    looked += (looked.empty() ? "" : "; ") + (folder.empty() ? shown : folder).string() + " (" +
              fault + ")";
    return false;
  };
  for (const fs::path& cache : places.hub_caches) {
    const std::size_t slash = full.find('/');
    const fs::path repository =
        cache / ("models--" + full.substr(0, slash) + "--" + full.substr(slash + 1));
    std::string fault;
    const fs::path snapshot = snapshot_of(repository, fault);
    if (try_folder(repository, snapshot, fault)) return snapshot;
  }
  for (const fs::path& cache : places.own_caches) {
    if (try_folder(cache / full, cache / full, "")) return cache / full;
  }
  throw NotFound("the model '" + full + "' was not found; looked at: " + looked,
                 "get it with: nearlite model pull " + full);
}

}  // namespace nearlite
