#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/byte_windows.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/memory_budget.h"
#include "nearlite/store/connection.h"

namespace nearlite {

class KeywordLists;

/// What makes vectors of one store comparable and current: a row of the table `model`.
struct ModelGeneration {
  std::int64_t id = 0;
  std::string name{};
  std::string identity{};  // equal: the same vectors for the same text
  std::size_t dim = 0;
  std::string text_template{};
  int embedding_version = 1;
};

enum class RecordState { kEmbedded, kSkipped, kBlocked, kEmpty };

/// Names a source row: key space, source table ("" for a store's first one) and key as JSON.
struct SourceKey {
  std::string_view store{};
  std::string_view table{};
  std::string_view key{};
};

/// What the sidecar knows of one source row.
struct StoredRecord {
  std::int64_t id = 0;
  std::string table{};
  std::string key{};
  std::int64_t model = 0;  // ModelGeneration::id; 0: none was known
  RecordState state = RecordState::kEmbedded;
  std::string reason{};
  std::uint64_t text_hash = 0;
  std::string rules_version{};
  std::string governed_text{};  // what was embedded, if governance redacted the text
  std::string last_updated{};
  bool damaged = false;  // a stored vector failed its checksum
};

/// The little that tells whether a source row has to be looked at; valid during the callback.
struct RecordBrief {
  std::int64_t id = 0;
  std::string_view table{};
  std::string_view key{};
  std::int64_t model = 0;
  RecordState state = RecordState::kEmbedded;
  std::uint64_t text_hash = 0;
  std::string_view last_updated{};
  std::string_view rules_version{};
};

struct PassageWrite {
  std::size_t text_begin = 0;  // bytes of the text
  std::size_t text_end = 0;
  std::uint64_t text_hash = 0;
  std::span<const float> vector{};
  std::string_view text{};  // its words are searched; "": none are
};

/// A record with all its vectors: replaces what was there.
struct RecordWrite {
  SourceKey key{};
  std::int64_t model = 0;
  RecordState state = RecordState::kEmbedded;
  std::string reason{};
  std::uint64_t text_hash = 0;
  std::string kind{};
  std::string source_id{};
  std::string last_updated{};
  std::string decision{};  // of governance: allow, redact, quarantine, block
  std::string rules_version{};
  std::string governed_text{};
  std::string written_at{};  // RFC 3339; "": now
  std::vector<PassageWrite> passages{};
};

/// What a file of another program said of a source row.
struct ImportedRow {
  std::string kind{};
  std::string source_id{};
  std::string entry{};    // JSON object
  std::string content{};  // JSON of the record as it was there; "": none
};

/// A record that somebody released from quarantine, with the text it had then.
struct ReleasedRecord {
  std::string table{};
  std::string key{};
  std::uint64_t text_hash = 0;
};

/// An entry of the do-not-embed list with its receipt.
struct ErasedRecord {
  std::string key_hash{};
  std::string erased_at{};            // RFC 3339 UTC; empty when putting: now
  bool complete = false;              // its bytes were looked for and are gone
  std::vector<ByteWindow> windows{};  // of what was erased
};

/// The vectors of one text, to be used again for another record with the same text.
struct StoredPassages {
  struct Passage {
    std::size_t text_begin = 0;
    std::size_t text_end = 0;
  };
  std::string governed_text{};
  std::string written_at{};  // passages_of() only
  std::vector<Passage> passages{};
  std::vector<float> vectors{};  // [passages.size(), dim]
};

/// One stored vector while it is scanned; valid during the callback.
struct VectorRow {
  std::int64_t slot = 0;
  std::int64_t record = 0;
  std::span<const float> values{};
  bool intact = true;  // checksum and size fit
};

/// Where a slot leads.
struct SlotInfo {
  std::int64_t slot = 0;
  std::string store{};
  std::string table{};
  std::string key{};
  std::size_t passage = 0;
  std::size_t text_begin = 0;
  std::size_t text_end = 0;
  std::uint64_t record_text_hash = 0;
  std::string governed_text{};
  std::int64_t record = 0;
  std::string kind{};
  std::string last_updated{};  // as the row says; "": when it was embedded
};

/// Which record a slot belongs to; valid during the callback.
struct SlotPlace {
  std::int64_t slot = 0;
  std::int64_t record = 0;
  std::string_view table{};
  std::string_view key{};
};

/// A record as the companion JSON shows it.
struct RecordEntry {
  std::string store{};
  std::string table{};
  std::string key{};
  RecordState state = RecordState::kEmbedded;
  std::string reason{};
  std::string kind{};
  std::string source_id{};
  std::string last_updated{};
  std::string embedded_at{};
  int embedding_version = 1;
  std::string imported{};  // ImportedRow::entry
  std::vector<std::uint64_t> passage_hashes{};
};

/// A derived file that the sidecar vouches for: a row of the table `manifest`.
struct DerivedFile {
  std::string store{};  // "" for files that hold all stores of the sidecar
  std::string kind{};   // "segment", "index", "metadata"
  std::string file{};   // name inside the folder of the sidecar
  std::uint64_t bytes = 0;
  std::string sha256{};
  std::uint64_t xxh3 = 0;
  std::int64_t generation = 0;
  std::int64_t last_slot = 0;    // it holds the live slots up to this one
  std::int64_t last_change = 0;  // and knows the removals up to this one
  std::int64_t count = 0;        // vectors in it
  std::string model_identity{};
  std::string backend{};
  std::string calibration{};  // JSON
};

/// A slot that is not live any more while a derived file may still hold it.
struct Removal {
  std::int64_t change = 0;  // ascending
  std::int64_t slot = 0;
};

/// Passages found by their words.
struct KeywordMatch {
  std::int64_t slot = 0;
  double score = 0;  // BM25: larger is better
};
struct KeywordSearch {
  std::vector<KeywordMatch> matches{};  // best first
  double greatest = 0;                  // no passage can score more for this question
};

struct SidecarOptions {
  bool create = false;
  // Owner, group and mode of a new file are taken from this one, if set.
  std::filesystem::path like{};
  const Clock* clock = nullptr;  // default: system_clock()
  // Words that were read already, shared by the connections to one file; default: of its own.
  std::shared_ptr<KeywordLists> keyword_lists{};
};

/// An empty one for SidecarOptions::keyword_lists; its memory counts against the budget, if any.
std::shared_ptr<KeywordLists> make_keyword_lists(std::shared_ptr<MemoryBudget> memory = nullptr);

/// The truth about vectors: a SQLite file beside the index (docs/formats/sidecar.md). A file that
/// is not ours is never written to. Commits are durable (synchronous FULL). One thread at a time.
class Sidecar {
 public:
  /// Throws NotFound (no file and not `create`), CorruptData (foreign, newer, damaged),
  /// Unavailable, StoreError.
  explicit Sidecar(std::filesystem::path file, const SidecarOptions& options = {});
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  const std::filesystem::path& file() const noexcept;
  /// Every write below belongs into one.
  Transaction begin();
  /// Changes when another connection wrote.
  std::int64_t data_version();

  // Models.
  std::int64_t put_model(std::string_view store,
                         const ModelGeneration& model);         // finds or adds; the id
  std::vector<ModelGeneration> models(std::string_view store);  // oldest first
  std::vector<std::string> stores();

  // Records and vectors.
  std::optional<StoredRecord> find_record(const SourceKey& key);
  std::vector<std::int64_t> put_record(const RecordWrite& record);  // the new slots
  /// The vectors stay: other rules decided the same.
  void set_governance(const SourceKey& key, std::string_view decision, std::string_view reason,
                      std::string_view rules_version);
  /// Kept beside the record until that is removed. kind and source_id are those of the record where
  /// it has none; content goes when the record's text is another than `text_hash`.
  void put_imported(const SourceKey& key, const ImportedRow& row, std::uint64_t text_hash);
  std::optional<ImportedRow> imported(const SourceKey& key);
  /// The slots that were removed; nothing if there was no such record.
  std::optional<std::vector<std::int64_t>> remove_record(const SourceKey& key);
  void for_each_record(std::string_view store,
                       const std::function<void(const StoredRecord&)>& visit);
  /// As for_each_record, in no order and without what is large: a million records a second.
  void scan_records(std::string_view store, const std::function<void(const RecordBrief&)>& visit);
  /// The same of one record, if it is there.
  void read_record(std::int64_t id, const std::function<void(const RecordBrief&)>& visit);
  /// Records with a vector that failed its checksum.
  std::vector<std::int64_t> damaged_records();
  std::size_t num_embedded(std::string_view store);  // records with vectors; costs nothing
  /// Vectors that scan_vectors() would visit.
  std::size_t count_vectors(std::string_view store, std::string_view model_identity,
                            std::int64_t after, std::int64_t up_to);
  /// Every vector of the store ("": of all) with this model identity and a slot in (after, up_to],
  /// ascending.
  void scan_vectors(std::string_view store, std::string_view model_identity, std::int64_t after,
                    std::int64_t up_to, const std::function<void(const VectorRow&)>& visit);
  std::optional<SlotInfo> find_slot(std::int64_t slot);
  void for_each_slot(std::string_view store, std::string_view model_identity,
                     const std::function<void(const SlotInfo&)>& visit);
  /// The slots after `after` with their records, the slots of a record one after the other: a
  /// million a second of a whole store, since no vector and no text is read for them.
  void scan_slots(std::string_view store, std::int64_t after,
                  const std::function<void(const SlotPlace&)>& visit);
  /// All slots of the record of this slot.
  void scan_slots_beside(std::int64_t slot, const std::function<void(const SlotPlace&)>& visit);
  /// All slots of the embedded records of one of these kinds (none: of any) that were last updated
  /// at `since` or later, in seconds since 1970, ascending; a record that does not say when it was
  /// updated counts from when it was embedded.
  std::vector<std::int64_t> slots_of_records_like(std::string_view store,
                                                  std::span<const std::string> kinds,
                                                  std::optional<std::int64_t> since);
  /// By record; the passages of each are in passage_hashes.
  void for_each_entry(const std::function<void(const RecordEntry&)>& visit);
  std::vector<std::int64_t> slots_of(const SourceKey& key);
  /// Throws CorruptData if the checksum does not fit.
  std::optional<std::vector<float>> vector_of(const SourceKey& key, std::size_t passage = 0);
  /// When the vectors of a record were made, RFC 3339 UTC; nothing if it has none.
  std::optional<std::string> written_at(const SourceKey& key);
  /// The vectors of any embedded record of the store with this text and model, if all are intact.
  std::optional<StoredPassages> passages_of_text(std::string_view store, std::uint64_t text_hash,
                                                 std::int64_t model);
  /// The vectors of a record; nothing if it has none, or a damaged one.
  std::optional<StoredPassages> passages_of(const SourceKey& key);
  /// Copies what is kept beside the vectors of another sidecar of ours: what people decided about
  /// single records, what was imported. Throws as the constructor for that file.
  void take_decisions_from(const std::filesystem::path& other);
  void mark_damaged(std::span<const std::int64_t> slots);
  std::int64_t last_slot();

  // Derived files.
  std::vector<Removal> removals(std::string_view store, std::int64_t after_change);
  std::int64_t last_change();
  std::optional<DerivedFile> derived_file(std::string_view store, std::string_view kind);
  std::vector<DerivedFile> derived_files();
  void put_derived_file(const DerivedFile& file);
  void remove_derived_file(std::string_view store, std::string_view kind);
  /// Forgets the removals that no file of the manifest needs.
  void prune_removals();

  // What people decided about single records.
  /// This text of the record passes quarantine from now on; the record is due again.
  void release(const SourceKey& key, std::uint64_t text_hash);
  std::vector<ReleasedRecord> released(std::string_view store);
  void forget_release(const SourceKey& key);
  /// The do-not-embed list. It holds keyed hashes of keys, not the keys. Adding again replaces.
  void put_erased(std::string_view store, const ErasedRecord& record);
  bool forget_erased(std::string_view store, std::string_view key_hash);  // false: not on the list
  std::vector<ErasedRecord> erased(std::string_view store);
  /// What key hashes and windows of this file are keyed with; "" before the first erasure.
  std::string erase_salt();
  /// The same, made in the running transaction if there is none.
  std::string make_erase_salt();
  /// Rewrites the file without what was deleted and empties the -wal: no byte of it is left in
  /// either. Throws Unavailable while another connection reads an older state.
  void compact();
  bool any_text_holds(std::string_view part);                            // in any table
  bool any_vector_is(std::span<const std::byte> blob);                   // of any passage
  std::vector<std::vector<std::byte>> vectors_of(const SourceKey& key);  // of every passage
  /// The bytes of the database file, read without disturbing its locks.
  void read_file_bytes(const std::function<void(std::span<const std::byte>)>& visit);
  // Words of passages (FTS5), written and removed with their vectors.
  /// Whether there is a table of words, and whether every text of the store is in it.
  bool has_keywords();
  bool keywords_complete(std::string_view store);
  /// Does nothing where SQLite has no FTS5.
  void set_keywords_complete(std::string_view store);
  /// The words of a record that was stored before there was a table of words.
  void add_keywords(const SourceKey& key, std::string_view text);
  /// The passages that match an FTS5 expression, at most `limit` that pass the filter.
  /// Throws StoreError if the expression is no FTS5 expression.
  KeywordSearch search_keywords(std::string_view store, std::string_view expression,
                                std::size_t limit,
                                const std::function<bool(std::int64_t slot)>& filter = {});
  /// All slots of the records of which some passage matches, ascending.
  std::vector<std::int64_t> slots_of_records_with(std::string_view expression);
  /// Words without a vector: 0, if all is well.
  std::size_t num_keyword_orphans();
  std::string check_keywords();  // FTS5's own check: "ok", or what is wrong
  void rebuild_keywords();       // from the texts that the table holds
  /// Removes from the file's index what deleted texts left in it.
  void merge_keywords();

  // Small facts by name; store "" for those of the whole file.
  std::optional<std::string> fact(std::string_view store, std::string_view name);
  void set_fact(std::string_view store, std::string_view name, std::string_view value);
  void remove_fact(std::string_view store, std::string_view name);

  /// Records without vectors and vectors without records: none, if all is well.
  std::size_t num_broken_links();
  /// Embedded records whose model is not one of the store's.
  std::size_t num_without_model(std::string_view store);
  /// SQLite's check of every page and index; slower than quick_check().
  std::string integrity_check();
  /// SQLite's own check: "ok", or what is wrong.
  std::string quick_check();
  std::uint64_t size_bytes() const;  // with its -wal file
  const Clock& clock() const noexcept;
  Connection& connection() noexcept;

 private:
  std::optional<std::vector<std::int64_t>> remove_rows(const SourceKey& key);
  void create_keywords();
  void put_keywords(std::int64_t slot, std::string_view text);
  void remove_keywords(std::span<const std::int64_t> slots);
  bool only_store(std::string_view store);
  std::string store_of_slot(std::int64_t slot);

  struct State;
  std::unique_ptr<State> state_;
};

std::string_view record_state_name(RecordState state);

}  // namespace nearlite
