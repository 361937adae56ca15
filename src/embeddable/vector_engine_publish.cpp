// The publish protocol: files are built beside the old ones, one transaction of the sidecar is the
// switch, then the files for other programs are renamed into place. Killed anywhere, the old state
// or the new one is there, whole.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <set>

#include "companion_json.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/index/backend_file.h"
#include "vector_engine.h"

namespace nearlite {
namespace {

constexpr std::int64_t kAllSlots = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kAlwaysWhole = 20'000;  // vectors

/// One publisher at a time per sidecar, whatever its process.
class PublishLock {
 public:
  explicit PublishLock(const std::filesystem::path& file)
      : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
    if (fd_ < 0) throw_errno("cannot open " + file.string(), errno);
    while (::flock(fd_, LOCK_EX) != 0) {
      if (errno != EINTR) {
        const int error = errno;
        ::close(fd_);
        throw_errno("cannot lock " + file.string(), error);
      }
    }
  }
  ~PublishLock() { ::close(fd_); }
  PublishLock(const PublishLock&) = delete;
  PublishLock& operator=(const PublishLock&) = delete;

 private:
  int fd_;
};

/// Vectors of one model read from the sidecar, checked.
struct LoadedRows {
  std::vector<VectorId> ids;
  std::vector<float> values;
  std::vector<std::int64_t> damaged;
  std::size_t dim = 0;
  VectorRows view() const { return {ids, values, dim}; }
};

LoadedRows load_rows(Sidecar& sidecar, const std::string& store, const ModelGeneration& model) {
  LoadedRows rows;
  rows.dim = model.dim;
  const std::size_t count = sidecar.count_vectors(store, model.identity, 0, kAllSlots);
  rows.ids.reserve(count);
  rows.values.reserve(count * model.dim);
  sidecar.scan_vectors(store, model.identity, 0, kAllSlots, [&](const VectorRow& row) {
    if (!row.intact || row.values.size() != model.dim) {
      rows.damaged.push_back(row.slot);
      return;
    }
    rows.ids.push_back(VectorId{row.slot});
    rows.values.insert(rows.values.end(), row.values.begin(), row.values.end());
  });
  return rows;
}

std::string stamp_text(const FileStamp& stamp) {
  return std::to_string(stamp.size_bytes) + "," + std::to_string(stamp.modified_ns) + "," +
         std::to_string(stamp.inode);
}

bool has_size(const std::filesystem::path& file, std::uint64_t bytes) {
  const auto stamp = stamp_of(file);
  return stamp && stamp->size_bytes == bytes;
}

/// Whether a file for other programs is still the one we wrote: by its stamp, else by its digest.
bool is_ours(Sidecar& sidecar, const std::filesystem::path& path, const DerivedFile& file) {
  const auto stamp = stamp_of(path);
  if (!stamp || stamp->size_bytes != file.bytes) return false;
  if (sidecar.fact("", "stamp_" + file.kind) == stamp_text(*stamp)) return true;
  return sha256_of_file(path) == file.sha256;
}

/// A file of this name that we never wrote belongs to somebody else: it keeps its content under
/// another name.
void keep_original(const std::filesystem::path& path) {
  if (!stamp_of(path)) return;
  std::filesystem::path kept = path;
  kept += ".original";
  for (int i = 1; stamp_of(kept); ++i) {
    kept = path;
    kept += ".original." + std::to_string(i);
  }
  std::filesystem::rename(path, kept);
}

void remove_left_overs(const std::filesystem::path& path) {
  const auto parent = path.parent_path().empty() ? std::filesystem::path(".") : path.parent_path();
  const std::string temporary = path.filename().string() + ".tmp-";
  const std::string unfinished = path.filename().string() + ".new";
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(temporary) || name.starts_with(unfinished))
      std::filesystem::remove(entry.path(), ignored);
  }
}

void set_mode(const std::filesystem::path& path, const std::filesystem::path& like, bool folder) {
  struct stat model {};
  if (like.empty() || ::stat(like.c_str(), &model) != 0) return;
  mode_t mode = (model.st_mode & 0666) | 0600;
  if (folder) mode |= (mode & 0444) >> 2;  // who may read may enter
  // Best effort: a folder of another owner keeps its mode.
  if (::chown(path.c_str(), model.st_uid, model.st_gid) == 0 || errno == EPERM)
    ::chmod(path.c_str(), mode);
}

}  // namespace

/// What one publish writes.
struct VectorEngine::Published {
  Backend backend = Backend::kAuto;  // of the index file; kAuto: there is none
  bool segment = false;  // write a new one
  bool index = false;
  bool metadata = false;
  std::int64_t generation = 0;
  std::int64_t last_slot = 0;
  std::int64_t last_change = 0;
  std::optional<DerivedFile> old_segment;
  std::optional<DerivedFile> old_index;
  std::optional<DerivedFile> old_metadata;
};

/// Decides what is behind. Product rule: whole when there are at most 20,000 vectors or more than a
/// tenth changed.
void VectorEngine::plan(Sidecar& sidecar, const ModelGeneration& model, PublishRule rule,
                        Published& out) {
  out.generation = std::stoll(sidecar.fact("", "generation").value_or("0")) + 1;
  out.last_slot = sidecar.last_slot();
  out.last_change = sidecar.last_change();
  const auto behind = [&](const std::string& store, const DerivedFile& file) {
    if (file.last_slot == out.last_slot && file.last_change == out.last_change)
      return std::size_t{0};
    std::size_t changed = sidecar.count_vectors(store, model.identity, file.last_slot, kAllSlots);
    for (const Removal& removal : sidecar.removals(store, file.last_change)) {
      if (removal.slot <= file.last_slot) ++changed;
    }
    return changed;
  };
  const auto whole = [&](const std::string& store, const DerivedFile& file) {
    const std::size_t changed = behind(store, file);
    if (changed == 0) return false;
    const std::size_t live = sidecar.count_vectors(store, model.identity, 0, kAllSlots);
    return live <= kAlwaysWhole || changed > live / 10;
  };
  const bool always = rule == PublishRule::kAlways;
  out.old_segment = sidecar.derived_file(settings_.store, "segment");
  out.segment = always || !out.old_segment || out.old_segment->model_identity != model.identity ||
                !has_size(folder() / out.old_segment->file, out.old_segment->bytes) ||
                whole(settings_.store, *out.old_segment);
  out.old_index = sidecar.derived_file("", "index");
  out.backend = settings_.backend;
  // An index file that was asked for once is kept up to date by a store that leaves the choice to us.
  if (out.backend == Backend::kAuto && out.old_index) out.backend = backend_of(out.old_index->backend);
  if (out.backend == Backend::kAuto) return;
  out.old_metadata = sidecar.derived_file("", "metadata");
  out.index = always || !out.old_index || out.old_index->model_identity != model.identity ||
              out.old_index->backend != backend_name(out.backend) ||
              !is_ours(sidecar, settings_.index, *out.old_index) || whole("", *out.old_index);
  out.metadata = out.index || !out.old_metadata ||
                 !is_ours(sidecar, settings_.metadata, *out.old_metadata) ||
                 out.old_metadata->last_slot != out.last_slot ||
                 out.old_metadata->last_change != out.last_change;
}

bool VectorEngine::publish(PublishRule rule) {
  const bool distrusted = segment_distrusted();
  if (!stamp_of(settings_.sidecar)) return false;  // nothing was ever embedded
  // A connection of its own: adding goes on while files are written.
  Sidecar sidecar(settings_.sidecar, {.clock = settings_.clock});
  const std::int64_t model_id = std::stoll(sidecar.fact(settings_.store, "model").value_or("0"));
  std::optional<ModelGeneration> model;
  for (const ModelGeneration& known : sidecar.models(settings_.store)) {
    if (known.id == model_id) model = known;
  }
  if (!model) return false;
  std::filesystem::create_directories(folder());
  set_mode(folder(), settings_.database, true);
  const PublishLock publishing(folder() / "lock");
  set_mode(folder() / "lock", settings_.database, false);
  remove_left_overs(settings_.index);
  remove_left_overs(settings_.metadata);

  Published out;
  LoadedRows rows;
  LoadedRows all;
  std::vector<std::int64_t> index_slots;
  sidecar.connection().execute("BEGIN");  // one state for everything that is read below
  try {
    plan(sidecar, *model, rule, out);
    out.segment = out.segment || distrusted;
    if (out.segment) rows = load_rows(sidecar, settings_.store, *model);
    if (out.index && (!out.segment || sidecar.stores().size() > 1))
      all = load_rows(sidecar, "", *model);
    if (out.metadata && !out.index) {
      index_slots = slots_of_file(sidecar, *out.old_index);
      if (index_slots.size() != static_cast<std::size_t>(out.old_index->count)) {
        out.index = true;  // it cannot be told what the old file holds: write it whole
        all = load_rows(sidecar, "", *model);
      }
    }
    sidecar.connection().execute("COMMIT");
  } catch (...) {
    sidecar.connection().rollback_quietly();
    throw;
  }
  if (!out.segment && !out.index && !out.metadata) {
    remove_old_segments(sidecar);  // a run that was killed right after the switch left them
    return false;
  }
  const LoadedRows& index_rows = out.index && all.ids.empty() ? rows : all;
  write_files(sidecar, *model, out, rows.view(), index_rows.view(), index_slots);
  if (out.segment) {
    const std::lock_guard reading(reading_);
    segment_distrusted_ = false;  // there is a new one
  }
  std::vector<std::int64_t> damaged = rows.damaged;
  damaged.insert(damaged.end(), all.damaged.begin(), all.damaged.end());
  if (!damaged.empty()) {
    Transaction transaction = sidecar.begin();
    sidecar.mark_damaged(damaged);
    transaction.commit();
  }
  return true;
}

/// The slots in a file written earlier, in order: those still live, and those removed since.
std::vector<std::int64_t> VectorEngine::slots_of_file(Sidecar& sidecar, const DerivedFile& file) {
  std::set<std::int64_t> slots;
  sidecar.for_each_slot("", file.model_identity, [&](const SlotInfo& row) {
    if (row.slot <= file.last_slot) slots.insert(row.slot);
  });
  for (const Removal& removal : sidecar.removals("", file.last_change)) {
    if (removal.slot <= file.last_slot) slots.insert(removal.slot);
  }
  return {slots.begin(), slots.end()};
}

void VectorEngine::write_files(Sidecar& sidecar, const ModelGeneration& model, const Published& out,
                               const VectorRows& rows, const VectorRows& index_rows,
                               std::vector<std::int64_t> index_slots) {
  DerivedFile segment = out.old_segment.value_or(DerivedFile{});
  if (out.segment) {
    segment = {.store = settings_.store, .kind = "segment", .generation = out.generation};
    segment.file = "seg-" + std::to_string(out.generation) + ".vecs";
    const SegmentDigest digest = write_segment(
        folder() / segment.file, rows,
        {settings_.store, static_cast<std::uint64_t>(out.generation), model.identity, model.dim});
    set_mode(folder() / segment.file, settings_.database, false);
    segment.bytes = digest.file_bytes;
    segment.xxh3 = digest.content_hash;
    segment.count = static_cast<std::int64_t>(digest.rows);
    segment.sha256 = "";  // its blocks carry hashes, and xxh3 is the hash of all of them
    segment.last_slot = out.last_slot;
    segment.last_change = out.last_change;
    segment.model_identity = model.identity;
  }
  std::filesystem::path unfinished = settings_.index;
  unfinished += ".new";
  DerivedFile index = out.old_index.value_or(DerivedFile{});
  if (out.index) {
    const BackendFile built = build_backend_file(out.backend, index_rows, unfinished);
    index = {.store = "", .kind = "index", .file = settings_.index.filename().string()};
    index.bytes = built.file_bytes;
    index.sha256 = built.sha256;
    index.generation = out.generation;
    index.last_slot = out.last_slot;
    index.last_change = out.last_change;
    index.count = static_cast<std::int64_t>(built.rows);
    index.model_identity = model.identity;
    index.backend = backend_name(out.backend);
    index.calibration = built.calibration_json;
    index_slots.clear();
    for (const VectorId id : index_rows.ids) index_slots.push_back(static_cast<std::int64_t>(id));
  }
  if (out.index && !out.old_index) keep_original(settings_.index);
  if (out.metadata && !out.old_metadata) keep_original(settings_.metadata);
  std::optional<AtomicFile> json;
  DerivedFile metadata{.store = "", .kind = "metadata"};
  if (out.metadata) {
    json.emplace(settings_.metadata);
    metadata.file = settings_.metadata.filename().string();
    metadata.generation = out.generation;
    metadata.last_slot = out.last_slot;
    metadata.last_change = out.last_change;
    metadata.count = static_cast<std::int64_t>(index_slots.size());
    metadata.model_identity = model.identity;
    const std::size_t live = sidecar.count_vectors("", model.identity, 0, out.last_slot);
    std::size_t held = index_slots.size();
    for (const Removal& removal : sidecar.removals("", index.last_change)) {
      if (removal.slot <= index.last_slot && held > 0) --held;
    }
    const CompanionHead head{out.generation,
                             index.file,
                             index.sha256,
                             index.backend,
                             model.name,
                             model.dim,
                             live > held ? live - held : 0,
                             rfc3339(sidecar.clock().now())};
    metadata.sha256 = write_companion(*json, head, sidecar, index_slots);
    metadata.bytes = json->size_bytes();
  }
  Transaction transaction = sidecar.begin();
  if (out.segment) sidecar.put_derived_file(segment);
  if (out.index) sidecar.put_derived_file(index);
  if (out.metadata) sidecar.put_derived_file(metadata);
  sidecar.set_fact("", "generation", std::to_string(out.generation));
  sidecar.prune_removals();
  transaction.commit();  // the switch

  if (out.index) {
    set_mode(unfinished, settings_.database, false);
    std::filesystem::rename(unfinished, settings_.index);
  }
  if (json) {
    json->commit();
    set_mode(settings_.metadata, settings_.database, false);
  }
  if (out.index || out.metadata) {
    sync_folder(settings_.index.parent_path().empty() ? "." : settings_.index.parent_path());
    Transaction stamps = sidecar.begin();
    if (const auto stamp = stamp_of(settings_.index); stamp && out.index) {
      sidecar.set_fact("", "stamp_index", stamp_text(*stamp));
    }
    if (const auto stamp = stamp_of(settings_.metadata); stamp && out.metadata) {
      sidecar.set_fact("", "stamp_metadata", stamp_text(*stamp));
    }
    stamps.commit();
  }
  remove_old_segments(sidecar);
}

void VectorEngine::remove_old_segments(Sidecar& sidecar) {
  std::set<std::string> known = {"lock"};
  for (const DerivedFile& file : sidecar.derived_files()) known.insert(file.file);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder(), ignored)) {
    // Whoever has an old one mapped keeps it: only the name goes.
    if (!known.contains(entry.path().filename().string()))
      std::filesystem::remove(entry.path(), ignored);
  }
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
    const std::filesystem::path path = file.kind == "segment" ? folder() / file.file
                                       : file.kind == "index" ? settings_.index
                                                              : settings_.metadata;
    if (!stamp_of(path)) {
      found.push_back({file.kind + "-missing", path,
                       path.string() + " is missing; the sidecar can rebuild it"});
      continue;
    }
    try {
      if (file.kind == "segment") {
        Segment::open(path, {.store = settings_.store,
                             .generation = static_cast<std::uint64_t>(file.generation),
                             .digest = SegmentDigest{static_cast<std::uint64_t>(file.count),
                                                     file.bytes, file.xxh3}})
            ->verify();
      } else if (!has_size(path, file.bytes) || sha256_of_file(path) != file.sha256) {
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
