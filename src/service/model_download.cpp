#include "nearlite/service/model_download.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "http_get.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/model/strict_json.h"

namespace nearlite {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kRecordName = ".nearlite.json";
constexpr std::size_t kMaxListingBytes = std::size_t{16} << 20;
constexpr std::uint64_t kMaxConfigurationBytes = std::uint64_t{64} << 20;

struct RemoteFile {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::string sha256;  // empty: the hub keeps none for small files
};

struct RemoteModel {
  std::string commit;
  std::vector<RemoteFile> files;
};

bool is_plain_name(std::string_view part) {
  return !part.empty() && part.front() != '.' && part.find("..") == std::string_view::npos &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

void require_hub_name(const std::string& name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string::npos || !is_plain_name(std::string_view(name).substr(0, slash)) ||
      !is_plain_name(std::string_view(name).substr(slash + 1))) {
    throw InvalidArgument(
        "'" + name.substr(0, 200) + "' is not a model name of the form organization/name",
        "for example sentence-transformers/all-MiniLM-L6-v2");
  }
}

/// Files of the model itself and of its modules ("1_Pooling/config.json"): JSON, txt and
/// safetensors. Copies for other programs (onnx/, openvino/) and anything that could be executed
/// are left out.
bool is_wanted(const std::string& path) {
  const std::size_t slash = path.find('/');
  const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
  if (!is_plain_name(file)) return false;
  if (slash != std::string::npos) {
    const std::string folder = path.substr(0, slash);
    const std::size_t digits = folder.find_first_not_of("0123456789");
    const bool is_module = digits != 0 && digits != std::string::npos && folder[digits] == '_';
    if (!is_module || !is_plain_name(folder)) return false;
  }
  const bool weights =
      file == "model.safetensors" || (file.starts_with("model-") && file.ends_with(".safetensors"));
  return weights || file.ends_with(".json") || file.ends_with(".txt");
}

/// Says what an HTTP status other than 200 means for the user.
[[noreturn]] void throw_status(long status, const std::string& what, const std::string& url,
                               bool with_token) {
  const std::string found = what + ": " + url + " answered " + std::to_string(status);
  if (status == 401 || status == 403) {  // the hub says 401 for names that do not exist, too
    throw NotFound(found + (with_token ? " to the given token" : ""),
                   "check the name; for a private or gated model set HF_TOKEN");
  }
  if (status == 404) throw NotFound(found, "check the name and the revision");
  throw Unavailable(found, "try again later");
}

RemoteFile read_sibling(const json& sibling) {
  RemoteFile file{
      .path = sibling.at("rfilename").get<std::string>(), .size_bytes = 0, .sha256 = {}};
  if (sibling.contains("size") && sibling["size"].is_number_unsigned()) {
    file.size_bytes = sibling["size"].get<std::uint64_t>();
  }
  if (const auto lfs = sibling.find("lfs"); lfs != sibling.end() && lfs->is_object()) {
    file.sha256 = lfs->at("sha256").get<std::string>();
    file.size_bytes = lfs->at("size").get<std::uint64_t>();
  }
  return file;
}

RemoteModel list_model(HttpGet& http, const std::string& name,
                       const ModelDownloadOptions& options) {
  const std::string url = options.hub.endpoint + "/api/models/" + name + "/revision/" +
                          percent_encoded_path(options.revision) + "?blobs=true";
  std::string body;
  const long status = http.get(url, [&](std::span<const std::byte> part) {
    body.append(reinterpret_cast<const char*>(part.data()), part.size());
    if (body.size() > kMaxListingBytes) throw CorruptData(url + " lists more than a model has");
    return true;
  });
  if (status != 200) throw_status(status, "the model " + name, url, !options.hub.token.empty());
  RemoteModel model;
  try {
    const json parsed = parse_strict_json(body, "the answer of " + url);
    model.commit = parsed.at("sha").get<std::string>();
    for (const json& sibling : parsed.at("siblings")) {
      RemoteFile file = read_sibling(sibling);
      if (is_wanted(file.path)) model.files.push_back(std::move(file));
    }
  } catch (const json::exception& error) {
    throw CorruptData("the answer of " + url + " is not a list of files: " + error.what());
  }
  if (!is_plain_name(model.commit)) throw CorruptData("the answer of " + url + " names no commit");
  return model;
}

void require_usable(const RemoteModel& model, const std::string& name, std::uint64_t max_bytes) {
  std::uint64_t total = 0;
  bool has_weights = false;
  bool has_config = false;
  for (const RemoteFile& file : model.files) {
    total += std::min(file.size_bytes, max_bytes + 1);
    has_weights = has_weights || file.path.ends_with(".safetensors");
    has_config = has_config || file.path == "config.json" || file.path == "modules.json";
    if (file.path.ends_with(".safetensors") && file.sha256.size() != 64) {
      throw CorruptData("the hub gives no SHA-256 for " + file.path + " of " + name);
    }
  }
  if (!has_config || !has_weights) {
    throw NotFound("the model " + name + " has " +
                       (has_config ? "no safetensors weights: pickle is never loaded"
                                   : "neither modules.json nor config.json"),
                   "take a model that has model.safetensors, or convert this one");
  }
  if (total > max_bytes) {
    throw InvalidArgument("the model " + name + " is larger than the limit of " +
                          std::to_string(max_bytes) + " bytes");
  }
}

/// Keeps two processes from fetching the same model; released with the object.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& file)
      : fd_(::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644)) {
    if (fd_ < 0) throw_errno("cannot create " + file.string(), errno);
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      throw Unavailable("another process is fetching this model (" + file.string() + " is locked)",
                        "wait for it");
    }
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

/// A folder that is removed with the object unless it was moved into place.
class PartialFolder {
 public:
  explicit PartialFolder(fs::path folder) : folder_(std::move(folder)) {
    remove();  // of a process that was killed: we hold the lock
    fs::create_directories(folder_);
  }
  ~PartialFolder() { remove(); }
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;
  const fs::path& path() const { return folder_; }

  /// The target is the old folder or the new one at every moment; the old one is removed with this
  /// object.
  void move_to(const fs::path& target) {
    sync_folder(folder_);
    const bool exchanged = fs::exists(target) && ::renameat2(AT_FDCWD, folder_.c_str(), AT_FDCWD,
                                                             target.c_str(), RENAME_EXCHANGE) == 0;
    if (!exchanged) {
      fs::remove_all(target);  // file systems that cannot exchange: a moment without the model
      fs::rename(folder_, target);
    }
    sync_folder(target.parent_path());
  }

 private:
  void remove() noexcept {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  fs::path folder_;
};

/// Fetches one file into the partial folder; returns its SHA-256.
std::string fetch_file(HttpGet& http, const std::string& url, const RemoteFile& file,
                       const fs::path& target, bool with_token,
                       const std::function<bool(std::uint64_t)>& on_bytes) {
  fs::create_directories(target.parent_path());
  AtomicFile written(target);
  Sha256 hash;
  const bool size_known = file.size_bytes > 0;
  const std::uint64_t most = size_known ? file.size_bytes : kMaxConfigurationBytes;
  const long status = http.get(url, [&](std::span<const std::byte> part) {
    if (written.size_bytes() + part.size() > most) {
      throw CorruptData(file.path + " is longer than the " + std::to_string(most) +
                        " bytes announced by " + url);
    }
    written.write(part);
    hash.update(part);
    return on_bytes(part.size());
  });
  if (status != 200) throw_status(status, file.path, url, with_token);
  if (size_known && written.size_bytes() != file.size_bytes) {
    throw CorruptData(file.path + " has " + std::to_string(written.size_bytes()) + " bytes, " +
                          std::to_string(file.size_bytes) + " were announced by " + url,
                      "try again");
  }
  std::string sha256 = hash.hex();
  if (!file.sha256.empty() && sha256 != file.sha256) {
    throw CorruptData(file.path + " has the SHA-256 " + sha256 + ", the hub says " + file.sha256 +
                          " (" + url + ")",
                      "try again; if it stays so, the file was changed on its way");
  }
  written.commit();
  return sha256;
}

/// Whether the folder holds this commit already, by its record and the sizes of its files.
bool is_there(const fs::path& folder, const RemoteModel& model) {
  try {
    const json record = parse_strict_json(read_file(folder / kRecordName), kRecordName);
    if (record.at("commit") != model.commit) return false;
    return std::all_of(model.files.begin(), model.files.end(), [&](const RemoteFile& file) {
      const auto stamp = stamp_of(folder / file.path);
      return stamp && record.at("files").at(file.path).at("size") == stamp->size_bytes;
    });
  } catch (const std::exception&) {
    return false;
  }
}

std::string file_url(const ModelDownloadOptions& options, const std::string& name,
                     const RemoteModel& model, const RemoteFile& file) {
  return options.hub.endpoint + "/" + name + "/resolve/" + model.commit + "/" +
         percent_encoded_path(file.path);
}

void fetch_all(HttpGet& http, const std::string& name, const RemoteModel& model,
               const ModelDownloadOptions& options, const fs::path& folder) {
  DownloadProgress progress;
  progress.num_files = model.files.size();
  for (const RemoteFile& file : model.files) progress.bytes_total += file.size_bytes;
  json record = {{"model", name},
                 {"commit", model.commit},
                 {"endpoint", options.hub.endpoint},
                 {"files", json::object()}};
  for (const RemoteFile& file : model.files) {
    progress.file = file.path;
    const std::uint64_t before = progress.bytes_done;
    const std::string sha256 =
        fetch_file(http, file_url(options, name, model, file), file, folder / file.path,
                   !options.hub.token.empty(), [&](std::uint64_t bytes) {
                     progress.bytes_done += bytes;
                     return !options.progress || options.progress(progress);
                   });
    record["files"][file.path] = {{"sha256", sha256}, {"size", progress.bytes_done - before}};
    ++progress.file_index;
  }
  AtomicFile written(folder / kRecordName);
  written.write(record.dump(1) + "\n");
  written.commit();
}

/// A token crosses a network only inside TLS.
std::string token_for(const HubAccess& hub) {
  const bool safe = hub.endpoint.starts_with("https://") ||
                    hub.endpoint.starts_with("http://127.0.0.1") ||
                    hub.endpoint.starts_with("http://localhost");
  return safe ? hub.token : "";
}

}  // namespace

HubAccess HubAccess::from_environment() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  HubAccess access;
  if (const std::string endpoint = variable("HF_ENDPOINT"); !endpoint.empty())
    access.endpoint = endpoint;
  const std::string offline = variable("HF_HUB_OFFLINE");
  access.offline = offline == "1" || offline == "true" || offline == "TRUE" || offline == "ON" ||
                   offline == "YES";
  access.token = variable("HF_TOKEN");
  if (access.token.empty()) {
    const std::string home = variable("HF_HOME");
    try {
      access.token =
          read_file(home.empty() ? fs::path(variable("HOME")) / ".cache/huggingface/token"
                                 : fs::path(home) / "token",
                    4096);
    } catch (const Error&) {
      access.token.clear();  // most users have none
    }
  }
  while (!access.token.empty() && (access.token.back() == '\n' || access.token.back() == ' '))
    access.token.pop_back();
  return access;
}

DownloadedModel download_model(const std::string& name, const fs::path& own_cache,
                               const ModelDownloadOptions& given) {
  require_hub_name(name);
  ModelDownloadOptions options = given;
  while (options.hub.endpoint.ends_with('/')) options.hub.endpoint.pop_back();
  options.hub.token = token_for(options.hub);
  if (options.hub.token.find_first_of("\r\n") != std::string::npos) {
    throw InvalidArgument("the hub token has a line break in it");
  }
  if (options.hub.offline) {
    throw Unavailable(
        "cannot fetch " + name + ": offline mode is on, no connection was made",
        "unset HF_HUB_OFFLINE, or copy the model folder to " + (own_cache / name).string());
  }
  HttpGet http(options.hub.token);
  const RemoteModel model = list_model(http, name, options);
  require_usable(model, name, options.max_bytes);
  const fs::path target = own_cache / name;
  DownloadedModel result{.folder = target, .commit = model.commit};
  if (is_there(target, model)) return result;

  std::error_code failed;
  fs::create_directories(target.parent_path(), failed);
  if (failed) throw_errno("cannot create " + target.parent_path().string(), failed.value());
  const std::string hidden = "." + target.filename().string();
  const FolderLock lock(target.parent_path() / (hidden + ".lock"));
  try {
    PartialFolder partial(target.parent_path() / (hidden + ".partial"));
    fetch_all(http, name, model, options, partial.path());
    partial.move_to(target);
  } catch (const fs::filesystem_error& error) {
    throw_errno("cannot write " + target.string(), error.code().value());
  }
  for (const RemoteFile& file : model.files) result.bytes_fetched += file.size_bytes;
  return result;
}

}  // namespace nearlite
