#include "publication.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>

#include "companion_json.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/folder.h"
#include "nearlite/index/backend_file.h"

namespace nearlite {
namespace {

constexpr std::int64_t kAllSlots = std::numeric_limits<std::int64_t>::max();

LoadedRows load_rows(Sidecar& sidecar, const std::string& store, const ModelGeneration& model,
                     std::int64_t after) {
  LoadedRows rows;
  rows.dim = model.dim;
  const std::size_t count = sidecar.count_vectors(store, model.identity, after, kAllSlots);
  rows.ids.reserve(count);
  rows.values.reserve(count * model.dim);
  sidecar.scan_vectors(store, model.identity, after, kAllSlots, [&](const VectorRow& row) {
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

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code failed;
  std::filesystem::rename(from, to, failed);
  if (failed) throw_errno("cannot rename " + from.string() + " to " + to.string(), failed.value());
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
  rename_file(path, kept);
}

void remove_left_overs(const std::filesystem::path& path) {
  const auto parent = path.parent_path().empty() ? std::filesystem::path(".") : path.parent_path();
  const std::string temporary = path.filename().string() + ".tmp-";
  const std::string unfinished = path.filename().string() + ".new";
  std::error_code ignored;
  for (const std::string& name : names_in(parent)) {
    if (name.starts_with(temporary) || name.starts_with(unfinished))
      std::filesystem::remove(parent / name, ignored);
  }
}

std::filesystem::path parent_of(const std::filesystem::path& file) {
  return file.parent_path().empty() ? "." : file.parent_path();
}

}  // namespace

void create_folders(const std::filesystem::path& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) throw_errno("cannot make the folder " + folder.string(), failed.value());
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

bool is_segment(const DerivedFile& file) {
  return file.kind == "segment" || file.kind.starts_with("segment.");
}

std::vector<VectorId> slots_of_index(Sidecar& sidecar, const DerivedFile& index) {
  std::set<VectorId> slots;
  sidecar.for_each_slot("", index.model_identity, [&](const SlotInfo& row) {
    if (row.slot <= index.last_slot) slots.insert(VectorId{row.slot});
  });
  for (const Removal& removal : sidecar.removals("", index.last_change)) {
    if (removal.slot <= index.last_slot) slots.insert(VectorId{removal.slot});
  }
  return {slots.begin(), slots.end()};
}

std::vector<DerivedFile> segments_of(Sidecar& sidecar, const std::string& store) {
  std::vector<DerivedFile> segments;
  for (DerivedFile& file : sidecar.derived_files()) {
    if (file.store == store && is_segment(file)) segments.push_back(std::move(file));
  }
  std::stable_sort(segments.begin(), segments.end(),
                   [](const DerivedFile& a, const DerivedFile& b) {
                     return std::pair(a.kind != "segment", a.last_slot) <
                            std::pair(b.kind != "segment", b.last_slot);
                   });
  if (!segments.empty() && segments[0].kind != "segment") segments.clear();  // nothing to build on
  return segments;
}

Publication::Publication(Sidecar& sidecar, const EngineSettings& settings,
                         const ModelGeneration& model, std::filesystem::path folder)
    : sidecar_(sidecar),
      settings_(settings),
      model_(model),
      folder_(std::move(folder)),
      unfinished_index_(settings.index) {
  unfinished_index_ += ".new";
}

bool Publication::plan(PublishRule rule, bool new_segment) {
  sidecar_.connection().execute("BEGIN");  // one state for everything that is read
  try {
    decide(rule, new_segment);
    read_rows();
    sidecar_.connection().execute("COMMIT");
  } catch (...) {
    sidecar_.connection().rollback_quietly();
    throw;
  }
  return has_segment() || write_index_ || write_metadata_;
}

std::size_t Publication::num_changed(const std::string& store, const DerivedFile& file) {
  if (file.last_slot == last_slot_ && file.last_change == last_change_) return 0;
  std::size_t changed = sidecar_.count_vectors(store, model_.identity, file.last_slot, kAllSlots);
  for (const Removal& removal : sidecar_.removals(store, file.last_change)) {
    if (removal.slot <= file.last_slot) ++changed;
  }
  return changed;
}

/// At most 20,000 vectors (PublishLimits), or more than a tenth of them changed: cheaper written
/// whole than kept.
bool Publication::is_due_whole(const std::string& store, const DerivedFile& file) {
  const std::size_t changed = num_changed(store, file);
  if (changed == 0) return false;
  const std::size_t live = sidecar_.count_vectors(store, model_.identity, 0, kAllSlots);
  return live <= settings_.limits.whole_up_to || changed > live / 10;
}

Publication::SegmentWork Publication::decide_segment(bool always) {
  old_segments_ = segments_of(sidecar_, settings_.store);
  if (always || old_segments_.empty()) return SegmentWork::kWhole;
  for (const DerivedFile& segment : old_segments_) {
    if (segment.model_identity != model_.identity ||
        !has_size(folder_ / segment.file, segment.bytes)) {
      return SegmentWork::kWhole;
    }
  }
  if (is_due_whole(settings_.store, old_segments_.front())) return SegmentWork::kWhole;
  const std::size_t fresh = sidecar_.count_vectors(settings_.store, model_.identity,
                                                   old_segments_.back().last_slot, kAllSlots);
  if (fresh < settings_.limits.seal_from) return SegmentWork::kNone;
  return old_segments_.size() > settings_.limits.later_segments ? SegmentWork::kMergeLater
                                                                : SegmentWork::kAppend;
}

void Publication::decide(PublishRule rule, bool new_segment) {
  generation_ = std::stoll(sidecar_.fact("", "generation").value_or("0")) + 1;
  last_slot_ = sidecar_.last_slot();
  last_change_ = sidecar_.last_change();
  const bool always = rule == PublishRule::kAlways;
  segment_work_ = decide_segment(always || new_segment);
  old_index_ = sidecar_.derived_file("", "index");
  backend_ = settings_.backend;
  // An index file that was asked for once is kept up to date by a store that leaves the choice to
  // us.
  if (backend_ == Backend::kAuto && old_index_) backend_ = backend_of(old_index_->backend);
  if (backend_ == Backend::kAuto) return;
  old_metadata_ = sidecar_.derived_file("", "metadata");
  write_index_ = always || !old_index_ || old_index_->model_identity != model_.identity ||
                 old_index_->backend != backend_name(backend_) ||
                 !is_ours(sidecar_, settings_.index, *old_index_) || is_due_whole("", *old_index_);
  write_metadata_ =
      write_index_ || !old_metadata_ || !is_ours(sidecar_, settings_.metadata, *old_metadata_) ||
      old_metadata_->last_slot != last_slot_ || old_metadata_->last_change != last_change_;
}

void Publication::read_rows() {
  if (write_metadata_ && !write_index_) {
    index_slots_.clear();
    for (const VectorId slot : slots_of_index(sidecar_, *old_index_))
      index_slots_.push_back(static_cast<std::int64_t>(slot));
    // Unless it can be told what the old file holds, it is written whole.
    write_index_ = index_slots_.size() != static_cast<std::size_t>(old_index_->count);
  }
  const bool whole = segment_work_ == SegmentWork::kWhole;
  if (has_segment()) {
    const std::int64_t after = whole ? 0
                               : segment_work_ == SegmentWork::kMergeLater
                                   ? old_segments_.front().last_slot
                                   : old_segments_.back().last_slot;
    store_rows_ = load_rows(sidecar_, settings_.store, model_, after);
  }
  if (!write_index_) return;
  const bool alone = sidecar_.stores().size() <= 1;
  index_rows_ = whole && alone ? &store_rows_ : &all_rows_;
  if (index_rows_ == &all_rows_) all_rows_ = load_rows(sidecar_, "", model_, 0);
  index_slots_.clear();
  for (const VectorId id : index_rows_->ids) index_slots_.push_back(static_cast<std::int64_t>(id));
}

DerivedFile Publication::derived(const std::string& store, const std::string& kind,
                                 const std::filesystem::path& file) const {
  DerivedFile row{.store = store, .kind = kind, .file = file.filename().string()};
  row.generation = generation_;
  row.last_slot = last_slot_;
  row.last_change = last_change_;
  row.model_identity = model_.identity;
  return row;
}

void Publication::build() {
  if (has_segment()) build_segment();
  if (write_index_) build_index();
  if (write_index_ && !old_index_) keep_original(settings_.index);
  if (write_metadata_ && !old_metadata_) keep_original(settings_.metadata);
  if (write_metadata_) build_metadata();
}

void Publication::build_segment() {
  // Never the name of another's file, whatever happens at the same time.
  const std::string unique = std::to_string(std::random_device{}());
  const auto file = folder_ / ("seg-" + std::to_string(generation_) + "-" + unique + ".vecs");
  const bool whole = segment_work_ == SegmentWork::kWhole;
  segment_ =
      derived(settings_.store, whole ? "segment" : "segment." + std::to_string(generation_), file);
  const SegmentDigest digest = write_segment(
      file, store_rows_.view(),
      {settings_.store, static_cast<std::uint64_t>(generation_), model_.identity, model_.dim});
  set_mode(file, settings_.database, false);
  segment_.bytes = digest.file_bytes;
  segment_.xxh3 = digest.content_hash;  // of all bytes; blocks carry hashes of their own
  segment_.count = static_cast<std::int64_t>(digest.rows);
}

void Publication::build_index() {
  const BackendFile built =
      build_backend_file(backend_, index_rows_->view(), unfinished_index_,
                         {.asked = {asked_, model_.dim},
                          .model_identity = model_.identity,
                          .generation = static_cast<std::uint64_t>(generation_)});
  set_mode(unfinished_index_, settings_.database, false);
  index_ = derived("", "index", settings_.index);
  index_.bytes = built.file_bytes;
  index_.sha256 = built.sha256;
  index_.count = static_cast<std::int64_t>(built.rows);
  index_.backend = backend_name(backend_);
  index_.calibration = built.calibration_json;
}

void Publication::build_metadata() {
  const DerivedFile& index = write_index_ ? index_ : *old_index_;
  const std::size_t live = sidecar_.count_vectors("", model_.identity, 0, last_slot_);
  std::size_t held = index_slots_.size();
  for (const Removal& removal : sidecar_.removals("", index.last_change)) {
    if (removal.slot <= index.last_slot && held > 0) --held;
  }
  CompanionHead head;
  head.generation = generation_;
  head.index_file = index.file;
  head.index_sha256 = index.sha256;
  head.backend = index.backend;
  head.model = model_.name;
  head.dim = model_.dim;
  head.missing = live > held ? live - held : 0;
  head.written_at = rfc3339(sidecar_.clock().now());
  json_.emplace(settings_.metadata);
  metadata_ = derived("", "metadata", settings_.metadata);
  metadata_.sha256 = write_companion(*json_, head, sidecar_, index_slots_);
  metadata_.bytes = json_->size_bytes();
  metadata_.count = static_cast<std::int64_t>(index_slots_.size());
}

void Publication::commit() {
  Transaction transaction = sidecar_.begin();
  // Whoever was stopped for so long that another run took over and published must not undo that.
  if (std::stoll(sidecar_.fact("", "generation").value_or("0")) + 1 != generation_) {
    throw Unavailable("another run has published files of " + settings_.store + " meanwhile",
                      "nothing is lost: run it again if something is still missing");
  }
  if (has_segment()) commit_segment();
  if (write_index_) sidecar_.put_derived_file(index_);
  if (write_metadata_) sidecar_.put_derived_file(metadata_);
  sidecar_.mark_damaged(store_rows_.damaged);
  sidecar_.mark_damaged(all_rows_.damaged);
  sidecar_.set_fact("", "generation", std::to_string(generation_));
  sidecar_.prune_removals();
  transaction.commit();  // the switch
  if (write_index_) {
    rename_file(unfinished_index_, settings_.index);
    sync_folder(parent_of(settings_.index));
  }
  if (json_) {
    json_->commit();
    set_mode(settings_.metadata, settings_.database, false);
  }
  if (write_index_ || write_metadata_) remember_stamps();
  clean_up();
}

/// The new segment, instead of those whose rows it holds.
void Publication::commit_segment() {
  for (const DerivedFile& old : old_segments_) {
    const bool is_later = old.kind != "segment";
    if (segment_work_ == SegmentWork::kWhole ||
        (segment_work_ == SegmentWork::kMergeLater && is_later))
      sidecar_.remove_derived_file(settings_.store, old.kind);
  }
  sidecar_.put_derived_file(segment_);
}

void Publication::remember_stamps() {
  Transaction transaction = sidecar_.begin();
  if (const auto stamp = stamp_of(settings_.index); stamp && write_index_) {
    sidecar_.set_fact("", "stamp_index", stamp_text(*stamp));
  }
  if (const auto stamp = stamp_of(settings_.metadata); stamp && write_metadata_) {
    sidecar_.set_fact("", "stamp_metadata", stamp_text(*stamp));
  }
  transaction.commit();
}

void Publication::clean_up() {
  remove_left_overs(settings_.index);
  remove_left_overs(settings_.metadata);
  std::set<std::string> known = {"lock"};
  for (const DerivedFile& file : sidecar_.derived_files()) known.insert(file.file);
  std::error_code ignored;
  for (const std::string& name : names_in(folder_)) {
    // Whoever has an old one mapped keeps it: only the name goes.
    if (!known.contains(name)) std::filesystem::remove(folder_ / name, ignored);
  }
}

}  // namespace nearlite
