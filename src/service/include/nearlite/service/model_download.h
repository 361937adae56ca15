#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace nearlite {

/// How the model hub is reached.
struct HubAccess {
  std::string endpoint = "https://huggingface.co";
  std::string
      token;  // for private and gated models; never sent to another host than the endpoint's
  bool offline = false;  // no connection is made

  /// HF_ENDPOINT, HF_TOKEN (else the file $HF_HOME/token), HF_HUB_OFFLINE.
  static HubAccess from_environment();
};

struct DownloadProgress {
  std::string file;            // that is being fetched
  std::size_t file_index = 0;  // from 0
  std::size_t num_files = 0;
  std::uint64_t bytes_done = 0;  // of all files
  std::uint64_t bytes_total = 0;
};

struct ModelDownloadOptions {
  HubAccess hub = HubAccess();
  std::string revision = "main";                     // branch, tag or commit
  std::uint64_t max_bytes = std::uint64_t{8} << 30;  // of all files together
  /// Called often while bytes arrive, in the calling thread; returning false stops the download.
  std::function<bool(const DownloadProgress&)> progress = {};
};

struct DownloadedModel {
  std::filesystem::path folder;
  std::string commit;               // of the hub's repository, 40 hex digits
  std::uint64_t bytes_fetched = 0;  // 0 if this commit was there already
};

/// Fetches a sentence-transformers model into own_cache/organization/name: the configuration (JSON,
/// txt) and the safetensors weights, nothing that could be executed. Sizes are checked for all
/// files and SHA-256 for those that the hub keeps one of (all weights); the folder appears whole or
/// not at all, and .nearlite.json in it records commit and digests. Throws InvalidArgument for a
/// name that is not organization/name, NotFound if the hub does not have the model or it has no
/// safetensors weights, CorruptData if what arrived is not what the hub announced, Unavailable if
/// the hub cannot be reached, is not to be (offline), or the disk is full; the message names the
/// file and the address.
DownloadedModel download_model(const std::string& name, const std::filesystem::path& own_cache,
                               const ModelDownloadOptions& options = {});

}  // namespace nearlite
