#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cost_sample.h"
#include "embedder.h"
#include "known_records.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/store/lease.h"
#include "original_import.h"
#include "record_decisions.h"
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
  struct Model {
    std::string name;
    std::string identity;
    std::size_t dim = 0;
    std::int64_t id = 0;  // 0: not in the sidecar yet
  };

  void check_model();
  void import_original();
  void walk();
  void see(SourceRecord& source);
  bool is_settled(const KnownRecords::Entry& known);
  void count_unchanged(const RecordKey& key, const KnownRecords::Entry& known);
  void look_at(SourceRecord& source, const KnownRecords::Entry* known);
  std::string version_of(const Record& record) const;
  Content content_of(const Record& record);
  bool needs_work(PendingRecord& record, const std::optional<StoredRecord>& stored);
  Model& model_for(const Content& content);
  const Model& stored_model(Sidecar& sidecar, const Content& content);
  std::optional<StoredRecord> stored_record(const RecordKey& key);
  void take(PendingRecord record);
  void flush();
  void reuse_vectors();
  void write_pending(std::vector<PendingRecord>& changed);
  struct SourceVersion {
    std::int64_t data = 0;
    std::int64_t own_changes = 0;
    friend bool operator==(const SourceVersion&, const SourceVersion&) = default;
  };
  SourceVersion source_version() const;
  bool must_look_again();
  std::optional<SourceRecord> find(const RecordKey& key);
  bool is_still_true(Sidecar& sidecar, PendingRecord& record, std::vector<PendingRecord>& changed);
  void write_one(Sidecar& sidecar, PendingRecord& record);
  void price_pending();
  void finish_pricing();
  void count_blocked(const std::string& reason);
  void count_reason(const std::string& reason);
  void add_missing_keywords();
  void count_skip(const RecordKey& key, const std::string& reason, bool permanent);
  void remove_orphans();
  void finish(const std::string& source_state);
  void report();

  const EmbeddableDBMixin& db_;
  sqlite3* source_;
  SourceVersion version_;  // before the first row was read
  bool source_changed_ = false;
  std::size_t num_finds_ = 0;
  double find_ms_ = 0;
  VectorEngine& engine_;
  const BackfillOptions& options_;
  const std::string& store_;
  Embedder embedder_;
  std::string trusted_;  // the column whose value tells of changes; "": texts are compared
  RecordCursor cursor_;
  RecordCursor finder_;
  std::vector<ModelGeneration> known_models_;
  RecordDecisions decisions_;
  std::optional<Model> text_model_;
  std::optional<Model> own_model_;
  std::unique_ptr<Sidecar> lease_connection_;
  std::unique_ptr<Lease> lease_;
  std::optional<OriginalImport> original_;
  std::vector<PendingRecord> pending_;
  bool keywords_complete_ = true;        // false: stored texts have to be given their words
  std::vector<PendingRecord> wordless_;  // unchanged records that may have none
  KnownRecords known_;
  enum class Settled { kNo, kYes, kByTheseRules };
  std::map<std::int64_t, Settled> settled_models_;  // by generation
  std::size_t own_dim_ = 0;                         // of vectors of the store's own
  std::size_t num_waiting_ = 0;                     // records that failed
  TextCost priced_;                                 // a dry run
  CostSample priced_sample_;
  std::size_t priced_dim_ = 0;  // of vectors of the store's own
  BackfillProgress progress_;
  BackfillResult result_;
  Stopwatch watch_;
};

/// What tells later whether the source was written to: size, time and inode of the database and its
/// -wal; "" if it has no file.
std::string source_state_of(const std::filesystem::path& database);

}  // namespace nearlite
