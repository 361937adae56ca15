#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "embedder.h"
#include "original_json.h"
#include "vector_engine.h"

namespace nearlite {

/// Takes over what the original system knew of a store's records: kind, source_id and the rest of
/// its metadata go to the sidecar beside the record; its vectors only where the store makes vectors
/// of its own, since those of a text name no model and encode condensed text.
class OriginalImport {
 public:
  /// The original's file that has not been taken over yet: `metadata` itself if we did not write
  /// it, or the one that a publish has renamed to *.original.
  static std::optional<std::filesystem::path> find(VectorEngine& engine);

  /// Reads the file. What cannot be read is said in notes().
  OriginalImport(std::filesystem::path file, const Gate& gate, int embedding_version);

  /// Keeps the entry of this record for store(), and gives the record its vector where it fits: the
  /// store has its own, the version, the dimension and the time of the last change are the same.
  void apply(PendingRecord& record);
  /// Writes what was kept since the last call. Inside a transaction of the caller.
  void store(Sidecar& sidecar, const std::string& store);
  /// Remembers that the file was taken over whole. Inside a transaction of the caller.
  void finish(Sidecar& sidecar, const std::string& store) const;

  bool has_waiting() const noexcept { return !waiting_.empty(); }
  std::size_t num_records() const noexcept { return original_.ours ? 0 : matched_.size(); }
  /// For the user: what was taken over, what was not and why.
  std::vector<std::string> notes() const;

 private:
  struct Waiting {
    RecordKey key;
    std::uint64_t text_hash = 0;
    ImportedRow row;
  };
  std::map<std::string, OriginalEntry>::const_iterator entry_of(const RecordKey& key) const;
  bool is_current(const OriginalEntry& entry, const PendingRecord& record) const;

  std::filesystem::path file_;
  std::string stamp_;
  const Gate& gate_;
  int embedding_version_;
  OriginalFile original_;
  std::string failure_;
  std::set<std::string> matched_;  // ids
  std::vector<Waiting> waiting_;
};

}  // namespace nearlite
