// Publishing the derived files, and verifying them.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "publication.h"
#include "vector_engine.h"

namespace nearlite {
namespace {

/// One publisher at a time per sidecar, whatever its process. A process that was stopped while it
/// publishes keeps the lock: whoever waits for it gives up in the end.
class PublishLock {
 public:
  explicit PublishLock(const std::filesystem::path& file)
      : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    if (fd_ < 0) throw_errno("cannot open " + file.string(), errno);
    constexpr std::chrono::minutes kPatience{5};
    constexpr std::chrono::milliseconds kPoll{20};
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      const bool busy = error == EWOULDBLOCK || error == EINTR;
      if (busy && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(kPoll);
        continue;
      }
      ::close(fd_);
      if (!busy) throw_errno("cannot lock " + file.string(), error);
      throw Unavailable("another process has been publishing for minutes (" + file.string() + ")",
                        "nothing is lost: if that process was stopped, end it, then run it again");
    }
  }
  ~PublishLock() { ::close(fd_); }
  PublishLock(const PublishLock&) = delete;
  PublishLock& operator=(const PublishLock&) = delete;

 private:
  int fd_;
};

}  // namespace

bool VectorEngine::publish(PublishRule rule) {
  if (!stamp_of(settings_.sidecar)) return false;  // nothing was ever embedded
  // A connection of its own: adding goes on while files are written.
  Sidecar sidecar(settings_.sidecar, {.clock = settings_.clock});
  const std::int64_t model_id = std::stoll(sidecar.fact(settings_.store, "model").value_or("0"));
  std::optional<ModelGeneration> model;
  for (const ModelGeneration& known : sidecar.models(settings_.store)) {
    if (known.id == model_id) model = known;
  }
  if (!model) return false;
  create_folders(folder());
  set_mode(folder(), settings_.database, true);
  const PublishLock publishing(folder() / "lock");
  set_mode(folder() / "lock", settings_.database, false);
  Publication publication(sidecar, settings_, *model, folder());
  publication.clean_up();
  publication.set_asked(asked_questions());
  if (!publication.plan(rule, segment_distrusted())) return false;
  publication.build();
  publication.commit();
  if (publication.has_segment()) {
    const std::lock_guard reading(reading_);
    segment_distrusted_ = false;  // there is a new one
  }
  return true;
}

std::vector<float> VectorEngine::asked_questions() {
  const std::lock_guard lock(auditing_);
  std::vector<float> questions;
  for (const std::vector<float>& question : asked_)
    questions.insert(questions.end(), question.begin(), question.end());
  return questions;
}

bool VectorEngine::segment_distrusted() {
  const std::lock_guard lock(reading_);
  return segment_distrusted_;
}

std::uint64_t VectorEngine::index_bytes() {
  std::uint64_t bytes = 0;
  read([&](Sidecar& sidecar) {
    for (const DerivedFile& file : sidecar.derived_files()) {
      if (file.store.empty() || file.store == settings_.store) bytes += file.bytes;
    }
  });
  return bytes;
}

std::vector<VectorEngine::Damage> VectorEngine::verify_derived() {
  std::vector<Damage> found;
  std::vector<DerivedFile> files;
  read([&](Sidecar& sidecar) { files = sidecar.derived_files(); });
  for (const DerivedFile& file : files) {
    if (!file.store.empty() && file.store != settings_.store) continue;
    const std::filesystem::path path = is_segment(file)       ? folder() / file.file
                                       : file.kind == "index" ? settings_.index
                                                              : settings_.metadata;
    if (!stamp_of(path)) {
      found.push_back({file.kind + "-missing", path,
                       path.string() + " is missing; the sidecar can rebuild it"});
      continue;
    }
    try {
      if (is_segment(file)) {
        Segment::open(path, {.store = settings_.store,
                             .generation = static_cast<std::uint64_t>(file.generation),
                             .digest = SegmentDigest{static_cast<std::uint64_t>(file.count),
                                                     file.bytes, file.xxh3}})
            ->verify();
      } else if (stamp_of(path)->size_bytes != file.bytes || sha256_of_file(path) != file.sha256) {
        found.push_back(
            {file.kind + "-digest", path,
             path.string() + " is not the file that was written (SHA-256 or size differ)"});
      }
    } catch (const Error& error) {
      found.push_back({file.kind + "-damaged", path, error.what()});
    }
  }
  return found;
}

}  // namespace nearlite
