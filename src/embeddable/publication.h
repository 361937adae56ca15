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
  void build();
  void commit();

  bool has_segment() const noexcept { return write_segment_; }
  /// Removes what a killed publish and old generations left.
  void clean_up();

 private:
  std::size_t num_changed(const std::string& store, const DerivedFile& file);
  bool is_due_whole(const std::string& store, const DerivedFile& file);
  void decide(PublishRule rule);
  void read_rows();
  std::vector<std::int64_t> slots_of_old_index();
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
  bool write_segment_ = false;
  bool write_index_ = false;
  bool write_metadata_ = false;
  std::int64_t generation_ = 0;
  std::int64_t last_slot_ = 0;
  std::int64_t last_change_ = 0;
  std::optional<DerivedFile> old_segment_;
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
};

/// Gives a file or folder of ours the owner and mode of the user's database, as far as we may.
void set_mode(const std::filesystem::path& path, const std::filesystem::path& like, bool folder);

}  // namespace nearlite
