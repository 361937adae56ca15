#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite/store/sidecar.h"
#include "vector_engine.h"

namespace nearlite {

/// Vectors of one model read from the sidecar, checked.
struct LoadedRows {
  std::vector<VectorId> ids;
  std::vector<float> values;
  std::vector<std::int64_t> damaged;
  std::size_t dim = 0;
  VectorRows view() const { return {ids, values, dim}; }
};

/// The segments of a store that the manifest names, by slot: first the large one, of the kind
/// "segment", then those of rows that came later, of the kinds "segment.GENERATION".
std::vector<DerivedFile> segments_of(Sidecar& sidecar, const std::string& store);
bool is_segment(const DerivedFile& file);
/// The slots that an index file holds, in order: those still live, and those removed since.
std::vector<VectorId> slots_of_index(Sidecar& sidecar, const DerivedFile& index);

/// One publish of the derived files (docs/formats/sidecar.md): plan() decides what is behind and
/// reads it, build() writes files beside the old ones, commit() is the switch and renames the files
/// for other programs. Killed anywhere, the old state or the new one is whole. The caller holds the
/// publish lock.
class Publication {
 public:
  Publication(Sidecar& sidecar, const EngineSettings& settings, const ModelGeneration& model,
              std::filesystem::path folder);

  /// False if nothing is behind. `new_segment`: the old one is known to be damaged.
  bool plan(PublishRule rule, bool new_segment);
  /// Questions that people asked, for the calibration of an index: [n, dim].
  void set_asked(std::vector<float> questions) { asked_ = std::move(questions); }
  void build();
  /// Throws Unavailable if somebody else published since plan(): what was built is not used.
  void commit();

  bool has_segment() const noexcept { return segment_work_ != SegmentWork::kNone; }
  /// Removes what a killed publish and old generations left.
  void clean_up();

 private:
  std::size_t num_changed(const std::string& store, const DerivedFile& file);
  bool is_due_whole(const std::string& store, const DerivedFile& file);
  // kWhole: one segment of all rows. kAppend: one more, of the rows that are in none. kMergeLater:
  // one of all rows behind the large one instead of many small ones.
  enum class SegmentWork { kNone, kAppend, kMergeLater, kWhole };
  void decide(PublishRule rule, bool new_segment);
  SegmentWork decide_segment(bool always);
  void commit_segment();
  void read_rows();
  void build_segment();
  void build_index();
  void build_metadata();
  DerivedFile derived(const std::string& store, const std::string& kind,
                      const std::filesystem::path& file) const;
  void remember_stamps();

  Sidecar& sidecar_;
  const EngineSettings& settings_;
  const ModelGeneration& model_;
  std::filesystem::path folder_;
  std::filesystem::path unfinished_index_;

  Backend backend_ = Backend::kAuto;  // of the index file; kAuto: there is none
  SegmentWork segment_work_ = SegmentWork::kNone;
  bool write_index_ = false;
  bool write_metadata_ = false;
  std::int64_t generation_ = 0;
  std::int64_t last_slot_ = 0;
  std::int64_t last_change_ = 0;
  std::vector<DerivedFile> old_segments_;
  std::optional<DerivedFile> old_index_;
  std::optional<DerivedFile> old_metadata_;

  LoadedRows store_rows_;  // for the segment
  LoadedRows all_rows_;    // for the index, if they are not the same
  const LoadedRows* index_rows_ = nullptr;
  std::vector<std::int64_t> index_slots_;  // of the index file, in order
  DerivedFile segment_;
  DerivedFile index_;
  DerivedFile metadata_;
  std::optional<AtomicFile> json_;
  std::vector<float> asked_;
};

/// Makes a folder and its parents, where they are missing. Throws Unavailable.
void create_folders(const std::filesystem::path& folder);
/// Gives a file or folder of ours the owner and mode of the user's database, as far as we may.
void set_mode(const std::filesystem::path& path, const std::filesystem::path& like, bool folder);

}  // namespace nearlite
