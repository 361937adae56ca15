#include "backfill.h"

#include <sqlite3.h>

#include <algorithm>

#include "background.h"
#include "damaged_rows.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/utf8.h"
#include "nearlite/index/faiss_index.h"

namespace nearlite {
namespace {

constexpr std::size_t kMaxBatch = 10'000;
// Shorter runs are done before anybody reads how far they are.
constexpr double kMsBeforeCounting = 300;

std::size_t checked_batch_size(std::size_t size) {
  if (size == 0 || size > kMaxBatch) {
    throw InvalidArgument("batch_size is " + std::to_string(size) + ", wanted 1 to " +
                          std::to_string(kMaxBatch));
  }
  return size;
}

}  // namespace

Backfill::Backfill(const EmbeddableDBMixin& db, sqlite3* source, VectorEngine& engine,
                   const BackfillOptions& options)
    : db_(db),
      engine_(engine),
      options_(options),
      store_(db.options().store_name),
      embedder_(db.encoder(), *db.options().gate, options.threads),
      cost_(db, embedder_),
      trusted_(options.full ? std::string() : db.updated_column()),
      cursor_(trusted_.empty() ? db.iter_records() : db.iter_versions()),
      rows_(db.iter_records(), source),
      models_(db),
      tally_(result_) {
  checked_batch_size(options.batch_size);
}

BackfillResult Backfill::run() {
  if (!options_.dry_run) {
    check_model();
    engine_.create();
    lease_connection_ = std::make_unique<Sidecar>(
        engine_.settings().sidecar, SidecarOptions{.clock = engine_.settings().clock});
    lease_ = std::make_unique<Lease>(*lease_connection_, store_, options_.wait);
  }
  // Before the first row is read: what is written during the run counts as not seen.
  const std::string source_state = source_state_of(engine_.settings().database);
  engine_.read([&](Sidecar& sidecar) {
    models_.load(sidecar);
    decisions_ = RecordDecisions::of(sidecar, store_);
    known_ = KnownRecords(sidecar, store_, embedder_.rules_version());
    keywords_complete_ = options_.dry_run || sidecar.keywords_complete(store_);
  });
  if (db_.options().keeps_model) check_generation();
  rows_.begin();
  import_original();
  walk();
  if (!result_.stopped) {
    remove_orphans();
    if (options_.dry_run) {
      cost_.estimate_in(result_);
    } else {
      finish(source_state);
    }
  }
  lease_.reset();
  if (original_) {
    result_.imported = original_->num_records();
    result_.notes = original_->notes();
  }
  if (!result_.stopped) progress_.total = std::max(progress_.total, progress_.done);
  report();  // adds the embedder's tokens itself
  result_.tokens += embedder_.num_tokens();
  result_.truncated = embedder_.num_truncated();
  result_.encode_ms = embedder_.encode_ms();
  result_.wall_ms = watch_.elapsed_ms();
  return std::move(result_);
}

/// Before anything is made: what is missing to do the work leaves no trace.
void Backfill::check_model() {
  if (db_.options().backend == Backend::kFaiss) load_faiss_plugin();
  if (stamp_of(engine_.settings().sidecar)) return;
  RecordCursor cursor = db_.iter_records();
  SourceRecord source;
  while (cursor.next(source)) {
    const Content content = nearlite::content_of(db_, source.record);
    if (content.kind == Content::Kind::kText) db_.encoder().info();
    if (content.kind == Content::Kind::kText || content.kind == Content::Kind::kVector) return;
  }
}

/// Vectors of another model are not replaced one by one: meanwhile there would be two models, and
/// no way back.
void Backfill::check_generation() {
  std::optional<ModelGeneration> active;
  engine_.read([&](Sidecar& sidecar) { active = active_model(sidecar, store_); });
  if (!active || is_own_identity(active->identity)) return;
  const ModelInfo& info = db_.encoder().info();
  if (info.identity == active->identity || info.name == active->name) return;
  throw InvalidArgument("the vectors of " + store_ + " are by " + active->name +
                            ", and its model is " + info.name + " now",
                        "nearlite store set " + store_ + " --model " + info.name +
                            " makes new ones beside them and then switches; or set the model back");
}

/// A companion JSON of the original knows where records came from.
void Backfill::import_original() {
  if (const auto file = OriginalImport::find(engine_))
    original_.emplace(*file, *db_.options().gate, db_.options().embedding_version);
}

void Backfill::walk() {
  SourceRecord source;
  while (next_row(source)) {
    if (options_.stop.stop_requested()) {
      result_.stopped = true;
      break;
    }
    see(source);
    if (pending_.size() >= options_.batch_size) flush();
    if (++progress_.done % 1000 == 0) report();
  }
  if (result_.stopped) pending_.clear();  // the next run takes them up
  if (!result_.stopped) add_missing_keywords();
  while (!pending_.empty()) flush();  // a record whose text changed meanwhile comes back once
}

bool Backfill::next_row(SourceRecord& source) {
  try {
    return cursor_.next(source);
  } catch (const DamagedRows& damage) {
    damaged_ = true;
    RecordKey nobody;
    nobody.json = "null";
    for (const std::string& range : damage.ranges()) {
      ++num_waiting_;
      tally_.skip(nobody,
                  range + " cannot be read: a page of the database is damaged; " + damage.hint(),
                  false);
    }
    return false;
  }
}

/// Counts a row that needs nothing, and looks at any other one.
void Backfill::see(SourceRecord& source) {
  KnownRecords::Entry* known = known_.see(source.key);
  if (decisions_.erased(source.key)) {
    tally_.block(source.key, "erased");
    return;
  }
  if (trusted_.empty()) return look_at(source, known);
  const std::string value = source.record.get(trusted_);
  const bool unchanged = keywords_complete_ && known != nullptr && !value.empty() && !original_ &&
                         known->last_updated == hash_of_last_updated(value) &&
                         models_.is_settled(*known);
  if (unchanged) return count_unchanged(source.key, *known);
  auto whole = rows_.find(source.key);
  if (!whole) {
    if (known != nullptr) known->seen = false;  // removed since its key was read
    return;
  }
  look_at(*whole, known);
}

void Backfill::count_unchanged(const RecordKey& key, const KnownRecords::Entry& known) {
  if (known.state == RecordState::kEmbedded) {
    ++result_.unchanged;
  } else if (known.state == RecordState::kEmpty) {
    tally_.skip(key, "no text", true);
  } else {
    const std::optional<StoredRecord> stored = stored_record(key);
    const std::string reason = stored ? stored->reason : "";
    if (known.state == RecordState::kBlocked) {
      tally_.block(key, reason);
    } else {
      tally_.skip(key, reason, true);
    }
  }
}

void Backfill::look_at(SourceRecord& source, const KnownRecords::Entry* known) {
  PendingRecord record;
  const bool embedded = known != nullptr && known->state == RecordState::kEmbedded;
  record.content = content_of(source.record, embedded ? &known->text_hash : nullptr);
  // Most rows of most runs end here, without a look at the sidecar.
  if (keywords_complete_ && embedded && !original_ && record.content.kind == Content::Kind::kText &&
      known->text_hash == record.content.hash && known->same_rules && !known->damaged &&
      known->model == models_.of(record.content).id &&
      (trusted_.empty() ||
       known->last_updated == hash_of_last_updated(version_of(source.record)))) {
    ++result_.unchanged;
    return;
  }
  record.last_updated = version_of(source.record);
  record.key = std::move(source.key);
  record.kind = std::move(source.kind);
  record.source_id = std::move(source.source_id);
  take(std::move(record));
}

std::string Backfill::version_of(const Record& record) const {
  const std::string column = db_.updated_column();
  if (column.empty()) return last_updated_of(record);
  std::string value = record.get(column);
  return find_invalid_utf8(value) ? std::string() : value;
}

/// Counts a record, and keeps it for the next batch if it has to be written.
void Backfill::take(PendingRecord record) {
  const Content& content = record.content;
  if (content.kind == Content::Kind::kFailed) {
    // What was embedded before stays: the reason may pass.
    ++num_waiting_;
    tally_.skip(record.key, content.reason, false);
    return;
  }
  if (original_) original_->apply(record);
  const std::optional<StoredRecord> stored = stored_record(record.key);
  const bool work = needs_work(record, stored);
  if (content.kind == Content::Kind::kEmpty || content.kind == Content::Kind::kSkipped) {
    if (!record.retried) tally_.skip(record.key, content.reason, true);
  } else if (!work) {
    if (stored->state == RecordState::kBlocked) {
      tally_.block(record.key, stored->reason);
    } else if (stored->state == RecordState::kSkipped) {
      tally_.skip(record.key, stored->reason, true);
    } else {
      ++result_.unchanged;
      if (!keywords_complete_) wordless_.push_back(record);
      if (wordless_.size() >= options_.batch_size) add_missing_keywords();
    }
  }
  if (!work) return;
  record.released = decisions_.released(record.key, content.hash);
  if (content.kind == Content::Kind::kText) prepare_encoder();
  pending_.push_back(std::move(record));
}

/// A run of a few changes takes not much longer than reading the weights: that goes on while the
/// other rows are compared.
void Backfill::prepare_encoder() {
  if (preparing_.valid() || options_.dry_run) return;
  preparing_ = std::async(std::launch::async, [&encoder = db_.encoder()] {
    try {
      encoder.prepare();
    } catch (const std::exception&) {
      return;  // encode() will say it, if it comes to that
    }
  });
}

/// What a record holds. All own vectors of a run have the dimension of its first one: no query fits
/// two.
Content Backfill::content_of(const Record& record, const std::uint64_t* embedded) {
  Content content = nearlite::content_of(db_, record, embedded);
  if (content.kind != Content::Kind::kVector) return content;
  if (own_dim_ == 0) own_dim_ = content.vector.size();
  if (content.vector.size() == own_dim_) return content;
  Content skipped;
  skipped.kind = Content::Kind::kSkipped;
  skipped.hash = content.hash;
  skipped.reason = "the vector has another dimension (" + std::to_string(content.vector.size()) +
                   ") than the first of the store (" + std::to_string(own_dim_) + ")";
  return skipped;
}

bool Backfill::needs_work(PendingRecord& record, const std::optional<StoredRecord>& stored) {
  const Content& content = record.content;
  if (!stored) return true;
  if (content.kind == Content::Kind::kEmpty) return stored->state != RecordState::kEmpty;
  if (content.kind == Content::Kind::kSkipped) {
    return stored->state != RecordState::kSkipped || stored->text_hash != content.hash;
  }
  if (stored->damaged || stored->text_hash != content.hash) return true;
  // The time of the last change has to be stored, or the row would be read again each time.
  if (!trusted_.empty() && stored->last_updated != record.last_updated) return true;
  if (stored->state == RecordState::kEmpty || stored->model != models_.of(content).id) return true;
  if (content.kind != Content::Kind::kText || stored->rules_version == embedder_.rules_version())
    return false;
  record.only_rules = stored->state == RecordState::kEmbedded;
  record.stored_governed_text = stored->governed_text;
  return true;
}

std::optional<StoredRecord> Backfill::stored_record(const RecordKey& key) {
  std::optional<StoredRecord> stored;
  engine_.read([&](Sidecar& sidecar) {
    stored = sidecar.find_record({store_, key.table, key.json});
  });
  return stored;
}

void Backfill::finish(const std::string& source_state) {
  const Stopwatch storing;
  const std::string now = rfc3339(engine_.settings().clock->now());
  engine_.write([&](Sidecar& sidecar) {
    lease_->renew(sidecar);
    sidecar.set_fact(store_, "last_backfill", now);
    sidecar.set_fact(store_, "source_state", source_state);
    sidecar.set_fact(store_, "database", engine_.settings().database.string());
    if (original_) {
      original_->store(sidecar, store_);
      original_->finish(sidecar, store_);
    }
    if (!keywords_complete_) sidecar.set_keywords_complete(store_);
    Background::refresh(sidecar, store_);
    if (num_waiting_ == 0) {
      sidecar.remove_fact(store_, "waiting_since");
    } else if (!sidecar.fact(store_, "waiting_since")) {
      sidecar.set_fact(store_, "waiting_since", now);
    }
  });
  engine_.publish(PublishRule::kWhenItPays);
  result_.store_ms += storing.elapsed_ms();
}

void Backfill::report() {
  if (!options_.progress) return;
  if (progress_.total == 0 && watch_.elapsed_ms() > kMsBeforeCounting) {
    try {
      progress_.total = cursor_.count();
    } catch (const CorruptData&) {
      progress_.total = progress_.done;  // a damaged page: nobody knows
    }
  }
  progress_.embedded = result_.embedded;
  progress_.tokens = result_.tokens + embedder_.num_tokens();
  progress_.elapsed_ms = watch_.elapsed_ms();
  options_.progress(progress_);
}

}  // namespace nearlite
