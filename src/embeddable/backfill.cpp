#include "backfill.h"

#include <sqlite3.h>

#include <algorithm>

#include "background.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/utf8.h"
#include "nearlite/index/faiss_index.h"

namespace nearlite {
namespace {

constexpr std::size_t kMaxBatch = 10'000;
constexpr std::size_t kMaxListed = 1000;
constexpr std::size_t kMaxReasons = 100;
constexpr std::size_t kOrphansPerTransaction = 1000;
constexpr std::size_t kFindsToJudge = 20;
constexpr double kSlowFindMs = 1;

std::size_t checked_batch_size(std::size_t size) {
  if (size == 0 || size > kMaxBatch) {
    throw InvalidArgument("batch_size is " + std::to_string(size) + ", wanted 1 to " +
                          std::to_string(kMaxBatch));
  }
  return size;
}

}  // namespace

std::string source_state_of(const std::filesystem::path& database) {
  if (database.empty()) return {};
  std::string state;
  for (const char* suffix : {"", "-wal"}) {
    std::filesystem::path file = database;
    file += suffix;
    const auto stamp = stamp_of(file);
    if (stamp && stamp->size_bytes > 0) {
      state += std::to_string(stamp->size_bytes) + "," + std::to_string(stamp->modified_ns) + "," +
               std::to_string(stamp->inode) + ";";
    } else {
      state += "none;";
    }
  }
  return state;
}

Backfill::Backfill(const EmbeddableDBMixin& db, sqlite3* source, VectorEngine& engine,
                   const BackfillOptions& options)
    : db_(db),
      source_(source),
      engine_(engine),
      options_(options),
      store_(db.options().store_name),
      embedder_(db.encoder(), *db.options().gate, options.threads),
      trusted_(options.full ? std::string() : db.updated_column()),
      cursor_(trusted_.empty() ? db.iter_records() : db.iter_versions()),
      finder_(db.iter_records()) {
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
    known_models_ = sidecar.models(store_);
    decisions_ = RecordDecisions::of(sidecar, store_);
    known_ = KnownRecords(sidecar, store_, embedder_.rules_version());
    keywords_complete_ = options_.dry_run || sidecar.keywords_complete(store_);
  });
  version_ = source_version();
  import_original();
  progress_.total = cursor_.count();
  walk();
  if (!result_.stopped) {
    remove_orphans();
    if (options_.dry_run) {
      finish_pricing();
    } else {
      finish(source_state);
    }
  }
  lease_.reset();
  if (original_) {
    result_.imported = original_->num_records();
    result_.notes = original_->notes();
  }
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

/// A companion JSON of the original knows where records came from.
void Backfill::import_original() {
  if (const auto file = OriginalImport::find(engine_))
    original_.emplace(*file, *db_.options().gate, db_.options().embedding_version);
}

void Backfill::walk() {
  SourceRecord source;
  while (cursor_.next(source)) {
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

/// Counts a row that needs nothing, and looks at any other one.
void Backfill::see(SourceRecord& source) {
  KnownRecords::Entry* known = known_.see(source.key);
  if (decisions_.erased(source.key)) {
    count_blocked("erased");
    return;
  }
  if (trusted_.empty()) return look_at(source, known);
  const std::string value = source.record.get(trusted_);
  const bool unchanged = keywords_complete_ && known != nullptr && !value.empty() && !original_ &&
                         known->last_updated == hash_of_last_updated(value) && is_settled(*known);
  if (unchanged) return count_unchanged(source.key, *known);
  auto whole = finder_.find(source.key);
  if (!whole) {
    if (known != nullptr) known->seen = false;  // removed since its key was read
    return;
  }
  look_at(*whole, known);
}

/// Whether a record whose text has not changed needs nothing.
bool Backfill::is_settled(const KnownRecords::Entry& known) {
  if (known.damaged) return false;
  if (known.model == 0) return known.state != RecordState::kBlocked || known.same_rules;
  const auto [settled, is_new] = settled_models_.try_emplace(known.model, Settled::kNo);
  if (is_new) {
    const auto model = std::ranges::find(known_models_, known.model, &ModelGeneration::id);
    if (model != known_models_.end() && is_current(db_, *model)) {
      settled->second = is_own_identity(model->identity) ? Settled::kYes : Settled::kByTheseRules;
    }
  }
  return settled->second == Settled::kYes ||
         (settled->second == Settled::kByTheseRules && known.same_rules);
}

void Backfill::count_unchanged(const RecordKey& key, const KnownRecords::Entry& known) {
  if (known.state == RecordState::kEmbedded) {
    ++result_.unchanged;
  } else if (known.state == RecordState::kEmpty) {
    count_skip(key, "no text", true);
  } else {
    const std::optional<StoredRecord> stored = stored_record(key);
    const std::string reason = stored ? stored->reason : "";
    if (known.state == RecordState::kBlocked) {
      count_blocked(reason);
    } else {
      count_skip(key, reason, true);
    }
  }
}

void Backfill::look_at(SourceRecord& source, const KnownRecords::Entry* known) {
  PendingRecord record;
  record.content = content_of(source.record);
  // Most rows of most runs end here, without a look at the sidecar.
  if (keywords_complete_ && known != nullptr && !original_ &&
      record.content.kind == Content::Kind::kText && known->text_hash == record.content.hash &&
      known->state == RecordState::kEmbedded && known->same_rules && !known->damaged &&
      known->model == model_for(record.content).id &&
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
    count_skip(record.key, content.reason, false);
    return;
  }
  if (original_) original_->apply(record);
  const std::optional<StoredRecord> stored = stored_record(record.key);
  const bool work = needs_work(record, stored);
  if (content.kind == Content::Kind::kEmpty || content.kind == Content::Kind::kSkipped) {
    if (!record.retried) count_skip(record.key, content.reason, true);
  } else if (!work) {
    if (stored->state == RecordState::kBlocked) {
      count_blocked(stored->reason);
    } else if (stored->state == RecordState::kSkipped) {
      count_skip(record.key, stored->reason, true);
    } else {
      ++result_.unchanged;
      if (!keywords_complete_) wordless_.push_back(record);
      if (wordless_.size() >= options_.batch_size) add_missing_keywords();
    }
  }
  if (!work) return;
  record.released = decisions_.released(record.key, content.hash);
  pending_.push_back(std::move(record));
}

/// What a record holds. All own vectors of a run have the dimension of its first one: no query fits
/// two.
Content Backfill::content_of(const Record& record) {
  Content content = nearlite::content_of(db_, record);
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
  if (stored->state == RecordState::kEmpty || stored->model != model_for(content).id) return true;
  if (content.kind != Content::Kind::kText || stored->rules_version == embedder_.rules_version())
    return false;
  record.only_rules = stored->state == RecordState::kEmbedded;
  record.stored_governed_text = stored->governed_text;
  return true;
}

Backfill::Model& Backfill::model_for(const Content& content) {
  std::optional<Model>& model = content.kind == Content::Kind::kVector ? own_model_ : text_model_;
  const bool fits =
      model && (content.kind == Content::Kind::kText || model->dim == content.vector.size());
  if (fits) return *model;
  model = Model{};
  if (content.kind == Content::Kind::kVector) {
    model->dim = content.vector.size();
    model->identity = own_identity(model->dim);
    model->name = "vectors of the store's own";
  } else {
    const ModelInfo& info = db_.encoder().info();
    model->dim = info.dim;
    model->identity = info.identity;
    model->name = info.name;
  }
  const EmbeddableOptions& options = db_.options();
  for (const ModelGeneration& known : known_models_) {
    if (known.identity == model->identity && known.dim == model->dim &&
        known.text_template == options.text_template &&
        known.embedding_version == options.embedding_version) {
      model->id = known.id;
    }
  }
  return *model;
}

std::optional<StoredRecord> Backfill::stored_record(const RecordKey& key) {
  std::optional<StoredRecord> stored;
  engine_.read([&](Sidecar& sidecar) {
    stored = sidecar.find_record({store_, key.table, key.json});
  });
  return stored;
}

void Backfill::flush() {
  if (options_.dry_run) {
    price_pending();
    return;
  }
  reuse_vectors();
  embedder_.embed(pending_);
  std::vector<PendingRecord> changed;
  const Stopwatch storing;
  write_pending(changed);
  result_.store_ms += storing.elapsed_ms();
  pending_.clear();
  for (PendingRecord& record : changed) take(std::move(record));
  report();
}

/// A text that is stored already, under whatever key, needs no model: keys change when VACUUM
/// numbers rows anew.
void Backfill::reuse_vectors() {
  engine_.read([&](Sidecar& sidecar) {
    for (PendingRecord& record : pending_) {
      if (record.content.kind != Content::Kind::kText || record.only_rules) continue;
      const std::int64_t model = model_for(record.content).id;
      if (model != 0)
        record.same_text = sidecar.passages_of_text(store_, record.content.hash, model);
    }
  });
}

void Backfill::write_pending(std::vector<PendingRecord>& changed) {
  BackfillResult before = result_;
  try {
    engine_.write([&](Sidecar& sidecar) {
      lease_->renew(sidecar);
      if (original_) original_->store(sidecar, store_);
      const bool look_again = must_look_again();
      for (PendingRecord& record : pending_) {
        if (!look_again || is_still_true(sidecar, record, changed)) write_one(sidecar, record);
      }
    });
  } catch (...) {
    result_ = std::move(before);  // the transaction was rolled back whole
    throw;
  }
}

/// What changes when anybody commits to the source: data_version counts for other connections,
/// total_changes for the host's own. Asking sets nothing.
Backfill::SourceVersion Backfill::source_version() const {
  if (source_ == nullptr) return {};
  Statement statement(source_, "PRAGMA data_version");
  statement.step();
  return {statement.int64(0), sqlite3_total_changes64(source_)};
}

/// Whether rows have to be read again before they are written. Always, unless that is slow (a view
/// that has to be computed for each look-up) and nobody has written to the database since the walk
/// began.
bool Backfill::must_look_again() {
  if (num_finds_ < kFindsToJudge || find_ms_ / static_cast<double>(num_finds_) < kSlowFindMs)
    return true;
  source_changed_ = source_changed_ || source_ == nullptr || source_version() != version_;
  return source_changed_;  // stays so: the cursor reads ahead
}

std::optional<SourceRecord> Backfill::find(const RecordKey& key) {
  const Stopwatch watch;
  auto found = finder_.find(key);
  find_ms_ += watch.elapsed_ms();
  ++num_finds_;
  return found;
}

/// The fence: the row is read again inside the write transaction, so that the late result of an old
/// text never replaces a newer one. True if the record is to be written.
bool Backfill::is_still_true(Sidecar& sidecar, PendingRecord& record,
                             std::vector<PendingRecord>& changed) {
  auto now = find(record.key);
  if (!now) {
    if (sidecar.remove_record({store_, record.key.table, record.key.json})) ++result_.removed;
    return false;
  }
  Content content = content_of(now->record);
  if (content.kind == record.content.kind && content.hash == record.content.hash) return true;
  if (record.retried) {
    ++num_waiting_;
    count_skip(record.key, "its text changes faster than it can be embedded", false);
    return false;
  }
  PendingRecord again;
  again.key = record.key;
  again.kind = now->kind;
  again.source_id = now->source_id;
  again.last_updated = version_of(now->record);
  again.content = std::move(content);
  again.retried = true;
  changed.push_back(std::move(again));
  return false;
}

void Backfill::write_one(Sidecar& sidecar, PendingRecord& record) {
  if (record.kept) {
    sidecar.set_governance({store_, record.key.table, record.key.json}, record.decision,
                           record.reason, embedder_.rules_version());
    if (!keywords_complete_) {
      sidecar.add_keywords({store_, record.key.table, record.key.json}, record.content.text);
    }
    ++result_.unchanged;
    return;
  }
  std::int64_t model_id = 0;
  std::size_t dim = 0;
  if (record.content.kind == Content::Kind::kText ||
      record.content.kind == Content::Kind::kVector) {
    const Model& model = stored_model(sidecar, record.content);
    model_id = model.id;
    dim = model.dim;
    if (record.state == RecordState::kEmbedded &&
        sidecar.fact(store_, "model") != std::to_string(model_id)) {
      sidecar.set_fact(store_, "model", std::to_string(model_id));
    }
  }
  sidecar.put_record(record_write(record, store_, model_id, dim, embedder_.rules_version()));
  switch (record.state) {
    case RecordState::kEmbedded:
      ++result_.embedded;
      result_.passages += record.passages.size();
      if (record.passages.size() > 1) ++result_.longer;
      if (record.from_original) ++result_.imported_vectors;
      break;
    case RecordState::kBlocked:
      count_blocked(record.reason);
      ++result_.refused;
      break;
    case RecordState::kSkipped:
      if (record.content.kind == Content::Kind::kText) count_skip(record.key, record.reason, true);
      ++result_.refused;
      break;
    case RecordState::kEmpty:
      ++result_.refused;
      break;
  }
}

/// The generation of a record, with its row in the sidecar.
const Backfill::Model& Backfill::stored_model(Sidecar& sidecar, const Content& content) {
  Model& model = model_for(content);
  if (model.id == 0) {
    const EmbeddableOptions& options = db_.options();
    model.id = sidecar.put_model(store_, {0, model.name, model.identity, model.dim,
                                          options.text_template, options.embedding_version});
  }
  return model;
}

/// A dry run: what the batch would cost.
void Backfill::price_pending() {
  for (PendingRecord& record : pending_) {
    embedder_.govern(record);
    if (record.state == RecordState::kBlocked) count_blocked(record.reason);
    if (record.state != RecordState::kEmbedded) continue;
    priced_ += embedder_.cost_of(record);
    priced_sample_.add(record);
    if (record.content.kind == Content::Kind::kVector) priced_dim_ = record.content.vector.size();
  }
  result_.embedded = priced_.texts;
  result_.passages = priced_.passages;
  result_.longer = priced_.longer;
  result_.tokens = priced_.tokens;
  pending_.clear();
  report();
}

void Backfill::finish_pricing() {
  std::size_t dim = priced_dim_;
  if (dim == 0 && priced_.texts > 0) dim = db_.encoder().info().dim;
  result_.estimated_ms = priced_sample_.milliseconds(priced_, embedder_);
  result_.estimated_bytes = bytes_on_disk(priced_, dim, db_.options().backend);
}

/// Texts that were embedded before the sidecar had a table of words: the model is not needed.
void Backfill::add_missing_keywords() {
  if (wordless_.empty()) return;
  const Stopwatch storing;
  engine_.write([&](Sidecar& sidecar) {
    lease_->renew(sidecar);
    for (const PendingRecord& record : wordless_)
      sidecar.add_keywords({store_, record.key.table, record.key.json}, record.content.text);
  });
  wordless_.clear();
  result_.store_ms += storing.elapsed_ms();
}

void Backfill::count_skip(const RecordKey& key, const std::string& reason, bool permanent) {
  ++result_.skipped;
  count_reason(reason);
  if (result_.skipped_records.size() < kMaxListed)
    result_.skipped_records.push_back({key, reason, permanent});
}

void Backfill::count_blocked(const std::string& reason) {
  ++result_.blocked;
  // "eval-use at 4-9, mail-address at 12-20": the rules, without the places
  std::string rules;
  for (std::size_t at = 0; at < reason.size();) {
    const std::size_t end = std::min(reason.find(", ", at), reason.size());
    const std::string rule = reason.substr(at, std::min(reason.find(" at ", at), end) - at);
    if (rules.find(rule) == std::string::npos) rules += (rules.empty() ? "" : ", ") + rule;
    at = end + 2;
  }
  count_reason("blocked: " + rules);
}

/// Reasons that differ in numbers only are one.
void Backfill::count_reason(const std::string& reason) {
  std::string kind;
  bool in_number = false;
  for (const char c : reason) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) kind += c;
    if (digit && !in_number) kind += 'N';
    in_number = digit;
  }
  auto& reasons = result_.skipped_by_reason;
  if (reasons.size() >= kMaxReasons && !reasons.contains(kind)) kind = "other";
  ++reasons[kind];
}

void Backfill::remove_orphans() {
  std::vector<RecordKey> candidates;
  engine_.read([&](Sidecar& sidecar) { candidates = known_.unseen(sidecar, store_); });
  const Stopwatch storing;
  for (std::size_t begin = 0; begin < candidates.size(); begin += kOrphansPerTransaction) {
    const auto part =
        std::span(candidates)
            .subspan(begin, std::min(kOrphansPerTransaction, candidates.size() - begin));
    // Looked up once more: a record added while the walk was on was not seen by it.
    const bool look_again = must_look_again();
    const auto gone = [&](const RecordKey& key) { return !look_again || !find(key); };
    if (options_.dry_run) {
      result_.removed += static_cast<std::size_t>(std::ranges::count_if(part, gone));
      continue;
    }
    std::size_t removed = 0;
    engine_.write([&](Sidecar& sidecar) {
      lease_->renew(sidecar);
      for (const RecordKey& key : part) {
        if (gone(key) && sidecar.remove_record({store_, key.table, key.json})) ++removed;
      }
    });
    result_.removed += removed;
  }
  result_.store_ms += storing.elapsed_ms();
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
    refresh_background(sidecar, store_);
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
  progress_.embedded = result_.embedded;
  progress_.tokens = result_.tokens + embedder_.num_tokens();
  progress_.elapsed_ms = watch_.elapsed_ms();
  options_.progress(progress_);
}

}  // namespace nearlite
