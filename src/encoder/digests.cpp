#include "digests.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/model/strict_json.h"

namespace nearlite {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxCacheBytes = 1U << 20U;
constexpr std::size_t kMaxEntries = 1000;

/// A file written within the last second may be written again without a new modification time.
bool is_settled(const FileStamp& stamp) {
  using namespace std::chrono;
  const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
  return stamp.modified_ns < now - 1'000'000'000;
}

}  // namespace

DigestCache::DigestCache(std::filesystem::path file) : file_(std::move(file)) {
  try {
    const json parsed = parse_strict_json(read_file(file_, kMaxCacheBytes), file_.string());
    for (const auto& [path, value] : parsed.at("files").items()) {
      Digest digest{.sha256 = value.at("sha256").get<std::string>(),
                    .stamp = {.size_bytes = value.at("size").get<std::uint64_t>(),
                              .modified_ns = value.at("modified_ns").get<std::int64_t>(),
                              .inode = value.at("inode").get<std::uint64_t>()}};
      if (digest.sha256.size() == 64) known_.emplace(path, std::move(digest));
    }
  } catch (const std::exception&) {
    known_.clear();  // missing, unreadable or foreign: begin again
  }
}

DigestCache::Digest DigestCache::digest(const std::filesystem::path& file) {
  const auto before = stamp_of(file);
  if (!before) throw NotFound(file.string() + " does not exist");
  const std::string key = std::filesystem::absolute(file).string();
  if (const auto found = known_.find(key);
      found != known_.end() && found->second.stamp == *before) {
    return found->second;
  }
  Digest digest{.sha256 = sha256_of_file(file), .stamp = *before};
  if (stamp_of(file) != before) throw CorruptData(file.string() + " was changed while it was read");
  if (is_settled(*before)) {
    known_[key] = digest;
    changed_ = true;
  }
  return digest;
}

void DigestCache::save() noexcept {
  if (!changed_) return;
  try {
    json files = json::object();
    for (const auto& [path, digest] : known_) {
      if (files.size() >= kMaxEntries || stamp_of(path) != digest.stamp) continue;
      files[path] = {{"sha256", digest.sha256},
                     {"size", digest.stamp.size_bytes},
                     {"modified_ns", digest.stamp.modified_ns},
                     {"inode", digest.stamp.inode}};
    }
    std::filesystem::create_directories(file_.parent_path());
    AtomicFile written(file_, 0600);
    written.write(json{{"files", files}}.dump(1) + "\n");
    written.commit();
    changed_ = false;
  } catch (const std::exception&) {
    // A read-only or full disk must not stop an encoder.
  }
}

}  // namespace nearlite
