#pragma once

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "embedder.h"
#include "known_records.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/store/lease.h"
#include "original_import.h"
#include "record_decisions.h"
#include "row_lookup.h"
#include "run_cost.h"
#include "run_models.h"
#include "skip_tally.h"
#include "vector_engine.h"

namespace nearlite {

/// One run over all records of a store: embeds what is missing or stale, removes orphans, publishes
/// once.
class Backfill {
 public:
  /// source: the host's handle; null: nothing is known of when the source changes.
  Backfill(const EmbeddableDBMixin& db, sqlite3* source, VectorEngine& engine,
           const BackfillOptions& options);
  BackfillResult run();

 private:
  void check_model();
  void check_generation();
  void import_original();
  void walk();
  bool next_row(SourceRecord& source);
  void see(SourceRecord& source);
  void count_unchanged(const RecordKey& key, const KnownRecords::Entry& known);
  void look_at(SourceRecord& source, const KnownRecords::Entry* known);
  std::string version_of(const Record& record) const;
  Content content_of(const Record& record, const std::uint64_t* embedded = nullptr);
  bool needs_work(PendingRecord& record, const std::optional<StoredRecord>& stored);
  std::optional<StoredRecord> stored_record(const RecordKey& key);
  void take(PendingRecord record);
  void prepare_encoder();
  void flush();
  void tell_figures(double store_ms);
  void reuse_vectors();
  void write_pending(std::vector<PendingRecord>& changed);
  bool is_still_true(Sidecar& sidecar, PendingRecord& record, std::vector<PendingRecord>& changed);
  void write_one(Sidecar& sidecar, PendingRecord& record);
  void add_missing_keywords();
  bool can_be_there(const RecordKey& key);
  void remove_orphans();
  void finish(const std::string& source_state);
  void report();

  const EmbeddableDBMixin& db_;
  VectorEngine& engine_;
  const BackfillOptions& options_;
  const std::string& store_;
  Embedder embedder_;
  RunCost cost_;         // of a dry run
  std::string trusted_;  // the column whose value tells of changes; "": texts are compared
  RecordCursor cursor_;
  RowLookup rows_;
  RunModels models_;
  RecordDecisions decisions_;
  std::unique_ptr<Sidecar> lease_connection_;
  std::unique_ptr<Lease> lease_;
  std::optional<OriginalImport> original_;
  std::vector<PendingRecord> pending_;
  bool keywords_complete_ = true;        // false: stored texts have to be given their words
  std::vector<PendingRecord> wordless_;  // unchanged records that may have none
  KnownRecords known_;
  std::size_t own_dim_ = 0;      // of vectors of the store's own
  std::size_t num_waiting_ = 0;  // records that failed
  bool damaged_ = false;         // some rows cannot be read: see DamagedRows
  BackfillProgress progress_;
  BackfillResult result_;
  SkipTally tally_;  // counts in result_
  Stopwatch watch_;
  std::future<void> preparing_;  // of the encoder; ends before what it uses
};

}  // namespace nearlite
