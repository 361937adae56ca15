#include "vector_engine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "background.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/subset_index.h"
#include "publication.h"
#include "stored_vectors.h"

namespace nearlite {
namespace {

constexpr std::int64_t kAllSlots = std::numeric_limits<std::int64_t>::max();

/// Opening and checking the backend's file costs as much as some scans: it pays for a store that is
/// large and asked again and again.
struct IndexPays {
  std::size_t from_rows;
  std::size_t from_searches;
};
IndexPays when_index_pays(Backend backend) {
  if (backend == Backend::kGraph) return {.from_rows = 10'000, .from_searches = 16};
  return {.from_rows = 200'000, .from_searches = 64};
}

VectorId id_of(std::int64_t slot) { return VectorId{slot}; }

}  // namespace

/// The searchable state in memory.
struct VectorEngine::Loaded {
  std::int64_t data_version = -1;
  std::int64_t generation = -1;
  std::int64_t model_id = 0;
  std::optional<ModelGeneration> model;
  std::int64_t last_slot = 0;
  std::int64_t last_change = 0;
  bool index_tried = false;
  bool index_waits = false;  // it could be opened if there was memory for it
  std::vector<std::shared_ptr<const Segment>> segments;  // by slot, the large one first
  std::shared_ptr<DeltaIndex> delta;
  Tombstones dead;
  std::vector<std::int64_t> damaged;               // found while loading
  std::shared_ptr<const SlotDirectory> directory;  // null: not wanted yet
  std::size_t background_removals = 0;             // of `dead`, when it was loaded
  EngineView view;

  bool holds(std::int64_t slot) const {
    for (const auto& segment : segments) {
      if (segment->position_of(id_of(slot))) return true;
    }
    return DeltaView(delta).position_of(VectorId{slot}).has_value();
  }
};

VectorEngine::VectorEngine(EngineSettings settings)
    : settings_(std::move(settings)),
      readers_(
          std::make_shared<SidecarReaders>(settings_.sidecar, settings_.clock, settings_.memory)),
      index_(settings_.memory),
      delta_memory_(settings_.memory, "rows"),
      page_memory_(settings_.memory, "pages") {}
VectorEngine::~VectorEngine() = default;

std::filesystem::path VectorEngine::folder_of_sidecar() const {
  const auto parent = settings_.sidecar.parent_path();
  return parent.empty() ? "." : parent;
}

std::filesystem::path VectorEngine::folder() const {
  return std::filesystem::path(settings_.sidecar).replace_extension(".vec");
}

Sidecar* VectorEngine::reader_locked() {
  if (!reader_) {
    const auto stamp = stamp_of(settings_.sidecar);
    if (!stamp || stamp->size_bytes == 0) return nullptr;
    reader_ =
        std::make_unique<Sidecar>(settings_.sidecar, SidecarOptions{.clock = settings_.clock});
  }
  return reader_.get();
}

bool VectorEngine::read(const std::function<void(Sidecar&)>& body) { return readers_->read(body); }

bool VectorEngine::read_at_once(const std::function<void(Sidecar&)>& body) {
  return read([&](Sidecar& sidecar) {
    Connection& connection = sidecar.connection();
    connection.execute("BEGIN");
    try {
      body(sidecar);
      connection.execute("COMMIT");
    } catch (...) {
      connection.rollback_quietly();
      throw;
    }
  });
}

Sidecar& VectorEngine::writer_locked() {
  if (!writer_) {
    create_folders(folder_of_sidecar());
    writer_ = std::make_unique<Sidecar>(
        settings_.sidecar,
        SidecarOptions{.create = true, .like = settings_.database, .clock = settings_.clock});
  }
  return *writer_;
}

void VectorEngine::create() {
  const std::lock_guard lock(writing_);
  writer_locked();
}

void VectorEngine::write(const std::function<void(Sidecar&)>& body) {
  const std::lock_guard lock(writing_);
  Transaction transaction = writer_locked().begin();
  body(*writer_);
  transaction.commit();
}

EngineView VectorEngine::view() {
  const std::lock_guard lock(reading_);
  Sidecar* sidecar = reader_locked();
  if (sidecar == nullptr) return {};
  try {
    refresh_locked(*sidecar);
  } catch (const CorruptData&) {
    if (loaded_->segments.empty()) throw;
    distrust_segment_locked();
    refresh_locked(*sidecar);
  }
  return loaded_->view;
}

/// A block of the segment is damaged: from now on the sidecar answers, until the next publish.
void VectorEngine::distrust_segment_locked() {
  index_.drop();
  loaded_ = std::make_unique<Loaded>();
  segment_distrusted_ = true;
}

/// Runs a search on the newest snapshot. Damage of a file costs that file: first the index is left
/// out, then the segments, for which the sidecar answers.
template <typename Result>
Result VectorEngine::on_snapshot(const SearchParams& params,
                                 const std::function<Result(const IndexSnapshot&)>& search) {
  for (int attempt = 0;; ++attempt) {
    EngineView now = view();
    if (!now.snapshot) return {};
    if (params.index_only || index_pays_now(now.snapshot->size())) {
      const std::lock_guard lock(reading_);
      attach_index_locked();
      if (loaded_->view.snapshot) now = loaded_->view;
    }
    try {
      return search(*now.snapshot);
    } catch (const CorruptData&) {
      if (attempt == 2) throw;
      const std::lock_guard lock(reading_);
      if (index_.get()) {
        index_.drop();
        make_snapshot_locked();
      } else {
        distrust_segment_locked();
      }
    }
  }
}

SearchResult VectorEngine::search(std::span<const float> query, const SearchParams& params) {
  return on_snapshot<SearchResult>(params, [&](const IndexSnapshot& snapshot) {
    check_dim(query.size() == snapshot.dim(), query.size(), snapshot.dim());
    remember_question(query);
    SearchParams asked = params;
    if (params.recall < 1.0) asked.recall = 1.0 - (1.0 - params.recall) * missing_share_;
    SearchResult answer = scans_.search(snapshot, query, asked);
    if (answer.path != "exact") audit(snapshot, query, params, answer);
    return answer;
  });
}

void VectorEngine::remember_question(std::span<const float> query) {
  if (settings_.backend == Backend::kFlat) return;
  constexpr std::size_t kMost = 128;
  const std::lock_guard lock(auditing_);
  std::vector<float> copy(query.begin(), query.end());
  if (asked_.size() < kMost) {
    asked_.push_back(std::move(copy));
  } else {
    asked_[num_asked_ % kMost] = std::move(copy);
  }
  ++num_asked_;
}

/// Calibration asked questions that were made of stored vectors; those that people ask may be
/// harder. So some answers are compared with the exact ones, and an index that misses more than was
/// promised has to look at more from then on.
void VectorEngine::audit(const IndexSnapshot& snapshot, std::span<const float> query,
                         const SearchParams& params, const SearchResult& answer) {
  if (++num_index_answers_ % settings_.audit_every != 0) return;
  SearchParams exactly = params;
  exactly.recall = 1.0;
  exactly.index_only = false;
  const SearchResult truth = snapshot.search(query, exactly);
  if (truth.neighbors.empty()) return;
  const float border = truth.neighbors.back().similarity;
  const auto found = static_cast<std::size_t>(std::ranges::count_if(
      answer.neighbors, [&](const Neighbor& neighbor) { return neighbor.similarity >= border; }));
  const std::lock_guard lock(auditing_);
  ++observed_.searches;
  observed_.wanted += truth.neighbors.size();
  observed_.found += std::min(found, truth.neighbors.size());
  constexpr std::size_t kEnough = 20;        // answers, before anything is concluded
  constexpr double kStrictest = 1.0 / 64.0;  // an effort beyond that is no cheaper than a scan
  if (observed_.searches < kEnough || observed_.value() >= params.recall) return;
  missing_share_ = std::max(kStrictest, missing_share_ / 2);
  observed_ = {};  // of the old effort
}

ObservedRecall VectorEngine::observed_recall() {
  const std::lock_guard lock(auditing_);
  return observed_;
}

std::vector<SearchResult> VectorEngine::search_batch(std::span<const float> queries,
                                                     const SearchParams& params) {
  return on_snapshot<std::vector<SearchResult>>(params, [&](const IndexSnapshot& snapshot) {
    check_dim(queries.size() % snapshot.dim() == 0, queries.size(), snapshot.dim());
    return snapshot.search_batch(queries, params);
  });
}

void VectorEngine::check_dim(bool fits, std::size_t values, std::size_t dim) const {
  if (fits) return;
  throw InvalidArgument("the query has " + std::to_string(values) + " dimensions, the store " +
                        settings_.store + " has " + std::to_string(dim));
}

bool VectorEngine::index_pays_now(std::size_t rows) {
  const IndexPays pays = when_index_pays(settings_.backend);
  return rows >= pays.from_rows && ++num_large_searches_ >= pays.from_searches;
}

/// What memory holds in any case is counted, so that caches leave room for it.
void VectorEngine::count_memory_locked() {
  if (!settings_.memory) return;
  const Loaded& state = *loaded_;
  const std::size_t rows = state.delta ? state.delta->size() : 0;
  const std::size_t dim = state.model ? state.model->dim : 0;
  delta_memory_.hold(rows * (dim * sizeof(float) + sizeof(VectorId) + sizeof(float)) +
                     (state.directory ? state.directory->bytes() : 0));
  page_memory_.hold(reader_->connection().cache_bytes() + readers_->cache_bytes());
}

std::vector<std::optional<float>> VectorEngine::similarities(std::span<const float> query,
                                                             std::span<const std::int64_t> slots) {
  const std::shared_ptr<const IndexSnapshot> snapshot = last_snapshot();
  if (!snapshot || snapshot->dim() != query.size())
    return std::vector<std::optional<float>>(slots.size());
  std::vector<VectorId> ids;
  ids.reserve(slots.size());
  for (const std::int64_t slot : slots) ids.push_back(VectorId{slot});
  return snapshot->similarities(query, ids);
}

std::vector<std::vector<float>> VectorEngine::vectors(std::span<const std::int64_t> slots) {
  std::vector<std::vector<float>> vectors(slots.size());
  const std::shared_ptr<const IndexSnapshot> snapshot = last_snapshot();
  if (!snapshot) return vectors;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::span<const float> vector = vector_in(*snapshot, slots[i]);
    vectors[i].assign(vector.begin(), vector.end());
  }
  return vectors;
}

std::shared_ptr<const IndexSnapshot> VectorEngine::last_snapshot() {
  const std::lock_guard lock(reading_);
  return loaded_ ? loaded_->view.snapshot : nullptr;
}

std::shared_ptr<const SlotDirectory> VectorEngine::directory_of(
    std::span<const std::int64_t> slots) {
  // Reading all costs as much as reading those of some questions.
  constexpr std::size_t kFewQuestions = 8;
  if (++num_directory_asks_ > kFewQuestions) return directory();
  {
    const std::lock_guard lock(reading_);
    if (loaded_ && loaded_->directory) return loaded_->directory;
  }
  std::shared_ptr<const SlotDirectory> directory;
  read_at_once([&](Sidecar& sidecar) { directory = SlotDirectory::of_slots(sidecar, slots); });
  return directory ? directory : std::make_shared<const SlotDirectory>();
}

std::shared_ptr<const SlotDirectory> VectorEngine::directory() {
  const std::lock_guard lock(reading_);
  Sidecar* sidecar = reader_locked();
  if (sidecar == nullptr) return std::make_shared<const SlotDirectory>();
  if (!loaded_) loaded_ = std::make_unique<Loaded>();
  if (!loaded_->directory) {
    loaded_->directory = SlotDirectory::of_store(*sidecar, settings_.store);
    count_memory_locked();
  }
  return loaded_->directory;
}

/// The sample stays what it is until another one was taken, or vectors came into other files or
/// were removed.
void VectorEngine::load_background_locked(Sidecar& sidecar) {
  std::string fact = Background::fact(sidecar, settings_.store);
  const std::shared_ptr<const Background>& known = loaded_->view.background;
  if (known && known->fact() == fact && loaded_->background_removals == loaded_->dead.size())
    return;
  loaded_->background_removals = loaded_->dead.size();
  loaded_->view.background =
      fact.empty() ? nullptr : std::make_shared<const Background>(std::move(fact));
}

/// After new rows were read: what is in memory of slots follows.
void VectorEngine::load_directory_locked(Sidecar& sidecar) {
  // Removed slots stay in it until they are more than the live ones.
  constexpr std::size_t kMostRemoved = 8192;
  if (!loaded_->directory || !loaded_->view.snapshot) return;
  loaded_->directory = loaded_->directory->with_newer(sidecar, settings_.store);
  if (loaded_->directory->num_slots() > 2 * loaded_->view.snapshot->size() + kMostRemoved)
    loaded_->directory = SlotDirectory::of_store(sidecar, settings_.store);
}

/// Compares what is loaded with the sidecar and loads what is new. Everything is read in one read
/// transaction.
void VectorEngine::refresh_locked(Sidecar& sidecar) {
  if (!loaded_) loaded_ = std::make_unique<Loaded>();
  const std::int64_t version = sidecar.data_version();
  if (loaded_->data_version == version) return;
  sidecar.connection().execute("BEGIN");
  try {
    const std::int64_t generation = std::stoll(sidecar.fact("", "generation").value_or("0"));
    const std::int64_t model = std::stoll(sidecar.fact(settings_.store, "model").value_or("0"));
    if (generation != loaded_->generation || model != loaded_->model_id) {
      reload_locked(sidecar, generation, model);
    }
    add_new_rows_locked(sidecar);
    load_directory_locked(sidecar);
    loaded_->view.records = sidecar.num_embedded(settings_.store);
    loaded_->view.has_keywords = sidecar.keywords_complete(settings_.store);
    load_background_locked(sidecar);
    sidecar.connection().execute("COMMIT");
  } catch (...) {
    sidecar.connection().rollback_quietly();
    loaded_->generation = -1;  // half loaded: begin anew the next time
    loaded_->data_version = -1;
    throw;
  }
  loaded_->data_version =
      version;  // if a commit came between, the next look reads nothing new once
  count_memory_locked();
  if (!loaded_->damaged.empty()) {
    // Best effort: a note for the next backfill, which embeds these records again.
    const std::vector<std::int64_t> damaged = std::exchange(loaded_->damaged, {});
    try {
      Transaction transaction = sidecar.begin();
      sidecar.mark_damaged(damaged);
      transaction.commit();
    } catch (const Error&) {
    }
  }
}

void VectorEngine::reload_locked(Sidecar& sidecar, std::int64_t generation, std::int64_t model) {
  const std::unique_ptr<Loaded> before = std::exchange(loaded_, std::make_unique<Loaded>());
  for (const ModelGeneration& known : sidecar.models(settings_.store)) {
    if (known.id == model) loaded_->model = known;
  }
  loaded_->generation = generation;
  loaded_->model_id = model;
  loaded_->view.model = loaded_->model;
  loaded_->directory = before->directory;
  if (!loaded_->model) return;
  loaded_->delta = std::make_shared<DeltaIndex>(loaded_->model->dim);
  if (segment_distrusted_) return;
  open_segments_locked(sidecar, before->segments);
  // An index stays what it is as long as its segment does.
  if (!loaded_->segments.empty() && !before->segments.empty() &&
      loaded_->segments.front() == before->segments.front()) {
    loaded_->index_tried = index_.get() != nullptr;
  } else {
    index_.drop();
  }
}

/// The segments of the manifest, as far as each is what was written. From the first one that is
/// not, the sidecar gives the rows, and the next run publishes anew.
void VectorEngine::open_segments_locked(
    Sidecar& sidecar, const std::vector<std::shared_ptr<const Segment>>& open_ones) {
  Loaded& state = *loaded_;
  for (const DerivedFile& file : segments_of(sidecar, settings_.store)) {
    if (file.model_identity != state.model->identity) return;
    try {
      const SegmentExpectation expected{
          .store = settings_.store,
          .generation = static_cast<std::uint64_t>(file.generation),
          .model_identity = file.model_identity,
          .dim = state.model->dim,
          .digest = SegmentDigest{static_cast<std::uint64_t>(file.count), file.bytes, file.xxh3}};
      // One that is open already stays: what was verified of it need not be read again.
      const auto same = std::ranges::find_if(open_ones, [&](const auto& segment) {
        return segment->digest() == *expected.digest &&
               segment->info().generation == *expected.generation;
      });
      state.segments.push_back(same != open_ones.end() ? *same
                                                       : Segment::open(folder() / file.file,
                                                                       expected, settings_.memory));
    } catch (const Error&) {
      return;
    }
    const bool is_first = state.segments.size() == 1;
    state.last_slot = file.last_slot;
    state.last_change = is_first ? file.last_change : std::min(state.last_change, file.last_change);
  }
}

void VectorEngine::add_new_rows_locked(Sidecar& sidecar) {
  Loaded& state = *loaded_;
  if (!state.model) return;
  sidecar.scan_vectors(settings_.store, state.model->identity, state.last_slot, kAllSlots,
                       [&](const VectorRow& row) {
                         state.last_slot = row.slot;
                         if (!row.intact) {
                           state.damaged.push_back(row.slot);
                         } else {
                           state.delta->add(id_of(row.slot), row.values);
                         }
                       });
  std::vector<VectorId> dead;
  for (const Removal& removal : sidecar.removals(settings_.store, state.last_change)) {
    state.last_change = removal.change;
    if (state.holds(removal.slot)) dead.push_back(id_of(removal.slot));
  }
  if (!dead.empty()) state.dead = state.dead.with(dead);
  make_snapshot_locked();
}

void VectorEngine::make_snapshot_locked() {
  Loaded& state = *loaded_;
  std::vector<SnapshotPart> parts;
  for (const auto& segment : state.segments) {
    if (segment->size() == 0) continue;
    SnapshotPart& part = parts.emplace_back(SnapshotPart{.segment = segment});
    if (segment == state.segments.front()) part.lent_index = index_.get();
  }
  state.view.snapshot = std::make_shared<const IndexSnapshot>(state.model->dim, std::move(parts),
                                                              DeltaView(state.delta), state.dead);
}

/// Opens the backend's file for the large segment, if it is what the manifest says and holds all of
/// its rows. Of a file that several stores share, the store sees its own rows.
void VectorEngine::attach_index_locked() {
  Loaded& state = *loaded_;
  if (state.segments.empty() || settings_.backend == Backend::kFlat ||
      state.segments.front()->size() == 0) {
    return;
  }
  // What had no room in memory may have it later.
  constexpr std::size_t kSearchesBetween = 256;
  const bool waits = state.index_waits && !index_.get();
  if (state.index_tried && !(waits && num_large_searches_ % kSearchesBetween == 0)) return;
  state.index_tried = true;
  state.index_waits = false;
  const Segment& segment = *state.segments.front();
  const auto file = reader_->derived_file("", "index");
  if (!file || file->model_identity != state.model->identity ||
      file->last_slot < static_cast<std::int64_t>(segment.ids().back())) {
    return;
  }
  try {
    const auto stamp = stamp_of(settings_.index);
    const Backend backend = backend_of(file->backend);
    if (!stamp || stamp->size_bytes != file->bytes) return;
    // At least codes and links, or all of FAISS's.
    const std::uint64_t of_codes = static_cast<std::uint64_t>(file->count) * (segment.dim() + 128);
    state.index_waits = true;
    if (!index_.has_room(backend == Backend::kFaiss ? file->bytes : of_codes)) return;
    // A graph file proves itself, block by block; the others cannot.
    if (backend != Backend::kGraph && sha256_of_file(settings_.index) != file->sha256) {
      throw CorruptData(settings_.index.string() + " is not the file that was written");
    }
    const bool alone = file->count == static_cast<std::int64_t>(segment.size()) &&
                       file->generation == static_cast<std::int64_t>(segment.info().generation);
    const auto own = segment.ids();
    std::vector<VectorId> ids =
        alone ? std::vector<VectorId>(own.begin(), own.end()) : slots_of_index(*reader_, *file);
    if (ids.size() != static_cast<std::size_t>(file->count))
      throw CorruptData("the sidecar does not know what is in " + settings_.index.string());
    std::shared_ptr<const VectorIndex> index = open_backend_file(
        backend, settings_.index, segment.dim(), std::move(ids), file->calibration,
        {.model_identity = file->model_identity,
         .generation = static_cast<std::uint64_t>(file->generation)});
    if (!alone) index = std::make_shared<SubsetIndex>(std::move(index), own);
    if (index_.keep(std::move(index))) make_snapshot_locked();
  } catch (const Error&) {
    index_.drop();  // exact search needs no index
    state.index_waits = false;
  }
}

}  // namespace nearlite
