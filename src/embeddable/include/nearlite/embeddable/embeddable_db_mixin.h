#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/base/memory_budget.h"
#include "nearlite/embeddable/cost.h"
#include "nearlite/embeddable/erasure.h"
#include "nearlite/embeddable/freshness.h"
#include "nearlite/embeddable/record.h"
#include "nearlite/embeddable/transfer.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/governance/gate.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

class VectorEngine;
struct Candidate;
struct CandidateQuery;
struct CandidateResult;
struct ReadCandidate;

/// What embedding one record has cost, for statistics. Records of one batch share its times: the
/// encoder's by their tokens, the store's evenly.
struct EmbeddingFigures {
  std::string store{};
  RecordKey key{};
  std::size_t tokens = 0;  // read by the model, special ones included, of all passages
  std::size_t passages = 0;
  double encode_ms = 0;
  double store_ms = 0;
  std::string skipped_reason{};  // empty: it was embedded
};

/// How old a vector was when it answered.
struct EmbeddingAge {
  std::string store{};
  RecordKey key{};
  double seconds = 0;
};

struct EmbeddableOptions {
  // The seed's five.
  Backend backend = Backend::kAnnoy;
  std::filesystem::path index_path = "embeddings.ann";
  std::filesystem::path metadata_path =
      "embeddings.json";  // left at its default: index_path with the suffix .json
  std::string model_name = "sentence-transformers/all-MiniLM-L6-v2";
  int embedding_version = 1;
  // What the object depends on; each has a default.
  std::string store_name{};  // key space inside the sidecar; default: stem of index_path
  std::shared_ptr<const TextEncoder> encoder{};  // default: lazy_encoder(model_name)
  std::shared_ptr<const Gate> gate{};            // default: the built-in rules, secrets only
  const Clock* clock = nullptr;                  // default: system_clock(); must outlive the object
  std::function<void(const EmbeddingFigures&)> figures{};  // told of each add_embedding()
  /// Told how old the vectors behind the hits of a search are, and that of get_vector(). Not asked
  /// for, nothing is read for it.
  std::function<void(std::span<const EmbeddingAge>)> ages{};
  std::string text_template{};  // names how text() is made; a change makes vectors stale (model)
  std::filesystem::path sidecar_path{};  // the truth; default: index_path with the suffix .sqlite
  /// Finds the model that vectors were made with when it is not model_name any more, so that a
  /// question is always read by the model of the vectors it is compared with. May return null.
  std::function<std::shared_ptr<const TextEncoder>(const std::string& name)> other_encoder{};
  /// What caches and maps may hold, together with those of all objects that share it; null: as much
  /// as they like (a few bytes of every byte that searches touch).
  std::shared_ptr<MemoryBudget> memory{};
  /// A backfill refuses to replace the vectors of another model in place, so that no search meets
  /// two: the registry grows them beside (`store set NAME --model M`).
  bool keeps_model = false;
};

/// A vector found: cosine similarity, and the distance in the backend's own convention
/// (annoy: sqrt(2 - 2 cosine); faiss and flat: the inner product, larger is nearer).
struct Hit {
  RecordKey key{};
  float similarity = 0;
  float distance = 0;
};

/// A hit whose row was read again and compared with what was embedded.
struct RecordHit {
  RecordKey key{};
  float similarity = 0;
  float distance = 0;
  bool stale = false;          // the row's text is not the one that was embedded
  Record record{};             // the row as it is now
  std::string passage_text{};  // the best passage of its text
};

struct RecordSearchOptions {
  std::size_t k = 10;
  double recall = 0.99;
  std::function<bool(const RecordKey&)> filter{};  // empty: all records
  bool index_only = false;
};

struct RecordSearchResult {
  std::vector<RecordHit> hits{};  // one per record (its best passage), best first; ties by key
  std::size_t records = 0;        // records with vectors in this store
  std::string path = "exact";     // taken by the vectors: "exact", "annoy", "faiss", "graph"
  double recall = 1.0;            // what it promises
  std::size_t num_scored = 0;     // vectors whose similarity was computed
  bool complete = true;           // false: fewer than k came back although more exist
  std::string incomplete_reason{};
  double took_ms = 0;
};

struct BackfillProgress {
  std::size_t done = 0;  // records looked at
  std::size_t total = 0;
  std::size_t embedded = 0;
  std::size_t tokens = 0;
  double elapsed_ms = 0;
};

struct BackfillOptions {
  std::size_t batch_size = 100;  // records per encoder call and transaction
  std::size_t threads = 0;       // encoder workers
  std::function<void(const BackfillProgress&)> progress{};  // called on the calling thread
  /// Told, on the calling thread, of each batch of records that was written, once it is durable.
  /// Records that were passed over in an earlier run already are not told of again.
  std::function<void(std::span<const EmbeddingFigures>)> figures{};
  std::stop_token stop{};             // the running batch is finished, what was embedded stays
  bool full = false;                  // read all texts, also where updated_column() says no change
  bool dry_run = false;               // count and price, embed nothing, write nothing
  std::chrono::milliseconds wait{0};  // for another run that holds the store, then Unavailable
};

struct SkippedRecord {
  RecordKey key{};
  std::string reason{};
  bool permanent = true;  // false: the reason may pass (an exception of text() or vector())
};

struct BackfillResult {
  std::size_t embedded = 0;  // records
  std::size_t skipped = 0;
  std::size_t failed = 0;   // of skipped: for a reason that may pass
  std::size_t removed = 0;  // orphans
  std::size_t unchanged = 0;
  std::size_t blocked = 0;
  std::size_t tokens = 0;
  std::size_t truncated = 0;  // passages cut by the model (only texts that could not be split)
  std::size_t passages = 0;
  std::size_t longer = 0;  // of `embedded`: texts longer than the model reads, cut into passages
  // A dry run only: what the run would take, by the speed of a sample encoded just now.
  std::optional<double> estimated_ms{};
  std::uint64_t estimated_bytes = 0;  // that would be written
  std::size_t imported = 0;           // records that a file of the original said something of
  std::size_t imported_vectors = 0;   // of `embedded`: vectors taken from that file
  std::vector<std::string> notes{};   // what the user should know of the run
  double wall_ms = 0;
  double encode_ms = 0;  // of wall_ms, in the encoder
  double store_ms = 0;   // of wall_ms, in the sidecar and index files
  bool stopped = false;
  // Of `skipped` and `blocked`: how many for which reason. Numbers in a reason are written N.
  std::map<std::string, std::size_t> skipped_by_reason{};
  std::vector<SkippedRecord> skipped_records{};  // at most 1,000; `skipped` has the whole number
  std::vector<SkippedRecord> blocked_records{};  // the same of `blocked`
};

enum class CheckDepth { kFast, kFull };

/// One disagreement between sidecar, segments, index, JSON and source.
struct CheckFinding {
  std::string code{};  // "index-digest", "vector-checksum", ...: stable
  std::string file{};
  std::string message{};
  bool repaired = false;
};

/// What governance says of a row as it is now.
struct GovernedRecord {
  RecordKey key{};
  GateDecision decision{};
  bool released = false;  // from quarantine, with this text
};

/// Gives a class that knows its records persistent vectors and similarity search (the seed's
/// EmbeddableDBMixin). The vectors live in a sidecar SQLite file beside index_path; index file and
/// companion JSON are derived from it. The handle belongs to the host: it is used inside a call
/// only and on the calling thread, no statement outlives a call, no PRAGMA is set and no
/// transaction begun on it. One object may be searched from many threads while one backfills.
class EmbeddableDBMixin {
 public:
  /// Reads and creates nothing yet. Throws InvalidArgument for options that contradict each other.
  EmbeddableDBMixin(sqlite3* db, EmbeddableOptions options);
  virtual ~EmbeddableDBMixin();
  EmbeddableDBMixin(const EmbeddableDBMixin&) = delete;
  EmbeddableDBMixin& operator=(const EmbeddableDBMixin&) = delete;

  // Hooks of the derived class.
  /// The text of a record; blank: nothing to embed. The base joins all text columns by newlines.
  virtual std::string text(const Record& record) const;
  /// A vector of the store's own; the base returns nothing, which means: encode text(record), in
  /// batches.
  virtual std::optional<std::vector<float>> vector(const Record& record) const;
  virtual RecordCursor iter_records() const = 0;
  /// A column that has another value whenever the text of its row has: backfill and freshness then
  /// read the text of those rows only whose value is not the stored one. "": there is none.
  virtual std::string updated_column() const { return {}; }
  /// All records with their keys and updated_column() alone; only asked for if there is one.
  virtual RecordCursor iter_versions() const { return iter_records(); }

  // The seed's methods.
  /// A question as a vector, [dim] floats.
  /// By the model that made the store's vectors, if it can be had, else by model_name: a search
  /// then finds nothing and says why.
  std::vector<float> encode_text(std::string_view text) const;
  /// Names that model: equal for two stores, and a question has the same vector in both.
  std::string question_model() const;
  /// The name of the model that made the store's vectors; "" if there are none, or they are its
  /// own.
  std::string vectors_model() const;
  /// Embeds one record now, durably; replaces what was there. Cost does not grow with the number of
  /// records. False, with the reason in skipped_reason if given, when there is nothing to embed or
  /// governance refuses.
  bool add_embedding(const RecordKey& record_id, const Record& record, const std::string& kind,
                     const std::string& source_id = "", std::string* skipped_reason = nullptr);
  /// Removes the vectors of a record. False if there were none.
  bool remove_embedding(const RecordKey& record_id);
  /// The vector of a record (of its first passage), bit for bit as stored.
  std::optional<std::vector<float>> get_vector(const RecordKey& record_id) const;
  /// No vector, another version, template or model, or (with a record) another text.
  bool needs_refresh(const RecordKey& record_id, const Record* record = nullptr) const;
  /// The top_k nearest records, best first. Throws InvalidArgument if the size is not the store's
  /// dimension.
  std::vector<Hit> search_by_vector(std::span<const float> vector, std::size_t top_k = 10) const;
  /// = search_by_vector(encode_text(question), top_k)
  std::vector<Hit> search(std::string_view question, std::size_t top_k = 10) const;
  /// Embeds what is missing or stale, removes orphans, writes index and JSON once at the end.
  /// Throws InvalidArgument inside an open transaction of the host; Unavailable if another run
  /// holds the store.
  virtual BackfillResult backfill_embeddings(const BackfillOptions& options = {});
  /// Writes the index file and the companion JSON from the sidecar now.
  void save_index();
  /// Opens what is there, rebuilding derived files that are missing or damaged. Done by itself at
  /// first use.
  void load_index();

  // Beyond the seed.
  /// As search_by_vector, with each hit's row read again: gone rows are dropped and the next hit
  /// taken.
  RecordSearchResult search_records(std::span<const float> query,
                                    const RecordSearchOptions& options) const;
  /// Records that may answer, by vector and by words, before any row is read (candidates.h): one
  /// per record. Throws InvalidArgument if the size of the vector is not the store's dimension.
  CandidateResult find_candidates(const CandidateQuery& query) const;
  /// Compares every candidate also with the mean direction of the first `best` of them, which is
  /// known by stored vectors alone: Candidate::feedback, CandidateResult::feedback_scale.
  /// Nothing happens without a vector in `query` or without vectors of the best.
  void add_feedback(std::span<const float> query, std::size_t best, CandidateResult& result) const;
  /// Reads the rows of candidates in their order until `k` were there; rows that are gone are left
  /// out.
  std::vector<ReadCandidate> read_candidates(std::span<const Candidate> candidates,
                                             std::size_t k) const;
  Freshness freshness(const FreshnessOptions& options = {}) const;
  /// What embedding all records would take. Reads and counts a sample of many records; writes
  /// nothing. Throws as TextEncoder::info().
  CostEstimate estimate_cost(const CostOptions& options = {}) const;
  /// Asks the gate about every row that has a text; embeds and writes nothing.
  void scan_governance(const std::function<void(const GovernedRecord&)>& visit) const;
  /// Lets a record that governance holds in quarantine be embedded by the next backfill, for as
  /// long as its text stays as it is. Throws NotFound if there is no such record, InvalidArgument
  /// if it is not in quarantine.
  void release_from_quarantine(const RecordKey& record_id);
  /// Deletes all that is kept of records, looks for their bytes in every file of the store
  /// afterwards, and puts the keys on the do-not-embed list: backfills pass them over. The rows
  /// themselves are not touched. Throws NotFound for a key that has no row and no record,
  /// Unavailable if a backfill holds the store, or while a reader keeps older bytes from going (the
  /// records are deleted then; run it again).
  EraseResult erase(std::span<const RecordKey> keys, const EraseOptions& options);
  /// Takes a key off the do-not-embed list. False if it is not on it.
  bool forget_erasure(const RecordKey& record_id);
  /// Searches every file of the store, and `also`, for what was ever erased from it.
  std::vector<CheckFinding> check_erased(const std::vector<std::filesystem::path>& also) const;
  /// Every embedded record with its vectors, as one committed state has them.
  void export_vectors(const std::function<void(const TransferRecord&)>& visit) const;
  /// Takes the vectors of records whose row is there and holds the text they were made of, by this
  /// store's model; any vector of the right size where the store makes its own. Governance decides
  /// first. What does not fit is refused with its reason. Throws as backfill_embeddings().
  ImportResult import_vectors(const TransferSource& next);
  /// Takes over a companion JSON of the original system (docs/formats/companion-json.md).
  ImportResult import_original(const std::filesystem::path& file);
  /// Copies what people decided about single records (released, erased) and what was imported.
  void take_decisions_from(const EmbeddableDBMixin& other);
  /// Verifies sidecar, segments, index and JSON against each other (docs/guides/check.md has the
  /// codes); kFull also every page of the sidecar, and its keys against the rows. `repair` rebuilds
  /// what is derived and has damaged vectors embedded again; truth is never touched.
  std::vector<CheckFinding> check(bool repair, CheckDepth depth = CheckDepth::kFast);
  /// Whether the source was written to since the last backfill (cheap: file change counter or data
  /// version).
  bool source_changed_since_backfill() const;

  const EmbeddableOptions& options() const noexcept { return options_; }
  const TextEncoder& encoder() const noexcept { return *options_.encoder; }
  std::filesystem::path sidecar_path() const;

 protected:
  /// iter_records() for the usual case: the rows of a SELECT on the host's handle, key columns
  /// first.
  RecordCursor query(std::string select, const QueryOptions& options = {}) const;
  sqlite3* database() const noexcept { return db_; }

 private:
  VectorEngine& engine() const;  // opened at first use
  void tell_ages(std::span<const RecordKey> keys) const;
  const TextEncoder& question_encoder() const;

  sqlite3* db_;
  EmbeddableOptions options_;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nearlite
