#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "joined_scans.h"
#include "lent_index.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/memory_budget.h"
#include "nearlite/index/snapshot.h"
#include "nearlite/index/vector_index.h"
#include "nearlite/store/sidecar.h"
#include "sidecar_readers.h"
#include "slot_directory.h"

namespace nearlite {

class Background;

/// When derived files are written anew. In vectors.
struct PublishLimits {
  std::size_t whole_up_to = 20'000;  // at most so many: whole with every change
  std::size_t seal_from = 4'096;  // new ones that are worth a segment of their own: until then each
                                  // process holds them in memory
  std::size_t later_segments = 8;  // behind the large one, before they become one
};

/// What a VectorEngine works for.
struct EngineSettings {
  std::filesystem::path sidecar;   // NAME.sqlite
  std::filesystem::path index;     // the backend's file
  std::filesystem::path metadata;  // the companion JSON
  std::filesystem::path database;  // the host's file: owner and mode of ours; empty: in memory
  std::string store;
  Backend backend = Backend::kAnnoy;
  const Clock* clock = nullptr;
  PublishLimits limits = {};
  std::size_t audit_every = 1000;  // answers of an index: one of so many is answered exactly too
  std::shared_ptr<MemoryBudget> memory = nullptr;  // of caches and maps; null: no limit
};

/// What recall the answers of an index really had, as far as they were answered exactly too.
struct ObservedRecall {
  std::size_t searches = 0;
  std::size_t wanted = 0;  // true neighbors of these
  std::size_t found = 0;   // of them
  double value() const { return wanted == 0 ? 1.0 : double(found) / double(wanted); }
};

/// What was searchable at one moment.
struct EngineView {
  std::shared_ptr<const IndexSnapshot> snapshot;  // null: no vectors yet
  std::optional<ModelGeneration> model;           // of the store's vectors; nothing: no vectors yet
  std::size_t records = 0;                        // with vectors
  bool has_keywords = false;                      // all texts of the store are searched by word
  std::shared_ptr<const Background> background;   // null: the store is too small
};

enum class PublishRule {
  kWhenItPays,  // product.md's rule: at most 20,000 vectors, or more than a tenth of them changed,
                // or a file is missing
  kAlways,
};

/// Joins the sidecar (truth) and the index layer (search) for one store: the published segment, the
/// rows that are newer in memory, and what was removed. Thread-safe: readers use connections of
/// their own and wait for no writer, and for one another only where something new is loaded.
class VectorEngine {
 public:
  explicit VectorEngine(EngineSettings settings);
  ~VectorEngine();

  /// The newest committed state, also of other processes. An add costs this O(1), whatever the
  /// number of records.
  EngineView view();
  /// view().snapshot->search; segments that turn out to be damaged are answered for from the
  /// sidecar. Throws InvalidArgument if the size is not that of the store. Nothing stored: an empty
  /// result.
  SearchResult search(std::span<const float> query, const SearchParams& params);
  /// Since the files were last loaded. Where it falls short of what was asked, search() asks the
  /// index for more than it is asked itself.
  ObservedRecall observed_recall();
  /// The cosine of the query with the vector of each slot; nothing for one that is not live.
  std::vector<std::optional<float>> similarities(std::span<const float> query,
                                                 std::span<const std::int64_t> slots);
  /// The vector of each slot as it is stored; an empty one for a slot that is not live.
  std::vector<std::vector<float>> vectors(std::span<const std::int64_t> slots);

  /// One result per query, in the time of a few; queries: [n, dim] row-major. Nothing stored: no
  /// result at all.
  std::vector<SearchResult> search_batch(std::span<const float> queries,
                                         const SearchParams& params);

  /// Runs `body` in one write transaction, committed when it returns. Makes the sidecar if it is
  /// missing.
  void write(const std::function<void(Sidecar&)>& body);
  /// Runs `body` on a reading connection that nobody else uses meanwhile; false if there is no
  /// sidecar. `body` may not read() itself.
  bool read(const std::function<void(Sidecar&)>& body);
  /// The same within one read transaction: everything is of one state, and no statement has to lock
  /// the file for itself.
  bool read_at_once(const std::function<void(Sidecar&)>& body);
  /// The records of these slots, as the newest state has them: out of memory once the store was
  /// asked a few times.
  std::shared_ptr<const SlotDirectory> directory_of(std::span<const std::int64_t> slots);
  /// The records of all slots.
  std::shared_ptr<const SlotDirectory> directory();
  /// Makes the sidecar if it is missing.
  void create();

  /// Writes segment, backend file and JSON by the publish protocol, where they are behind. True if
  /// something was written.
  bool publish(PublishRule rule);
  /// Whether every derived file is there and is what the manifest says. Findings: (code, file,
  /// message).
  struct Damage {
    std::string code;
    std::filesystem::path file;
    std::string message;
  };
  std::vector<Damage> verify_derived();
  /// Bytes of segment, backend file and JSON.
  std::uint64_t index_bytes();
  const EngineSettings& settings() const noexcept { return settings_; }

 private:
  struct Loaded;
  template <typename Result>
  Result on_snapshot(const SearchParams& params,
                     const std::function<Result(const IndexSnapshot&)>& search);
  void check_dim(bool fits, std::size_t values, std::size_t dim) const;
  Sidecar& writer_locked();
  Sidecar* reader_locked();
  void load_background_locked(Sidecar& sidecar);
  void load_directory_locked(Sidecar& sidecar);
  std::shared_ptr<const IndexSnapshot> last_snapshot();
  void refresh_locked(Sidecar& sidecar);
  void reload_locked(Sidecar& sidecar, std::int64_t generation, std::int64_t model);
  void add_new_rows_locked(Sidecar& sidecar);
  void open_segments_locked(Sidecar& sidecar,
                            const std::vector<std::shared_ptr<const Segment>>& open_ones);
  void make_snapshot_locked();
  void attach_index_locked();
  bool index_pays_now(std::size_t rows);
  void count_memory_locked();
  void audit(const IndexSnapshot& snapshot, std::span<const float> query,
             const SearchParams& params, const SearchResult& answer);
  void distrust_segment_locked();
  bool segment_distrusted();
  void remember_question(std::span<const float> query);
  std::vector<float> asked_questions();
  std::filesystem::path folder() const;  // NAME.vec
  std::filesystem::path folder_of_sidecar() const;

  EngineSettings settings_;
  std::shared_ptr<SidecarReaders> readers_;  // what read() gives out
  LentIndex index_;                          // of the large segment
  JoinedScans scans_;
  // What is held in any case: rows in memory, and pages of the sidecar.
  MemoryBudget::Share delta_memory_;
  MemoryBudget::Share page_memory_;
  std::mutex reading_;               // guards reader_ and loaded_
  std::unique_ptr<Sidecar> reader_;  // looks for what is new
  std::unique_ptr<Loaded> loaded_;
  bool segment_distrusted_ =
      false;  // a block of it was found damaged: the sidecar answers until the next publish
  std::atomic<std::size_t> num_large_searches_ = 0;
  std::atomic<std::size_t> num_index_answers_ = 0;
  std::atomic<std::size_t> num_directory_asks_ = 0;
  std::atomic<double> missing_share_ = 1.0;  // of what a search may miss, how much the index may
  std::mutex auditing_;  // guards observed_ and asked_; nothing is locked inside it
  ObservedRecall observed_;
  std::vector<std::vector<float>> asked_;  // the last questions, for the next calibration
  std::size_t num_asked_ = 0;
  std::mutex writing_;  // guards writer_; taken before reading_, never after it
  std::unique_ptr<Sidecar> writer_;
};

}  // namespace nearlite
