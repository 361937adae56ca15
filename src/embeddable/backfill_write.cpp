// What a backfill writes: batches of records behind the fence, and the removal of orphans.
#include <algorithm>

#include "backfill.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::size_t kOrphansPerTransaction = 1000;

}  // namespace

void Backfill::flush() {
  reuse_vectors();
  if (options_.dry_run) {
    cost_.add(pending_, tally_);
    cost_.count_in(result_);
    pending_.clear();
    report();
    return;
  }
  embedder_.embed(pending_);
  std::vector<PendingRecord> changed;
  const Stopwatch storing;
  write_pending(changed);
  const double store_ms = storing.elapsed_ms();
  result_.store_ms += store_ms;
  tell_figures(store_ms);
  pending_.clear();
  for (PendingRecord& record : changed) take(std::move(record));
  report();
}

void Backfill::tell_figures(double store_ms) {
  if (!options_.figures) return;
  std::vector<EmbeddingFigures> figures;
  for (const PendingRecord& record : pending_) {
    if (!record.written) continue;
    EmbeddingFigures& one = figures.emplace_back();
    one.store = store_;
    one.key = record.key;
    if (record.state != RecordState::kEmbedded) {
      one.skipped_reason = record.reason.empty() ? "no text" : record.reason;
      continue;  // it has cost next to nothing
    }
    one.tokens = record.tokens;
    one.passages = record.passages.size();
    one.encode_ms = record.encode_ms;
  }
  if (figures.empty()) return;
  for (EmbeddingFigures& one : figures) {
    if (one.skipped_reason.empty()) one.store_ms = store_ms / static_cast<double>(figures.size());
  }
  options_.figures(figures);
}

/// A text that is stored already, under whatever key, needs no model: keys change when VACUUM
/// numbers rows anew.
void Backfill::reuse_vectors() {
  engine_.read([&](Sidecar& sidecar) {
    for (PendingRecord& record : pending_) {
      if (record.content.kind != Content::Kind::kText || record.only_rules) continue;
      const std::int64_t model = models_.of(record.content).id;
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
      const bool look_again = rows_.must_look_again();
      const RowLookup::Batch batch(rows_);
      for (PendingRecord& record : pending_) {
        if (!look_again || is_still_true(sidecar, record, changed)) write_one(sidecar, record);
      }
    });
  } catch (...) {
    result_ = std::move(before);  // the transaction was rolled back whole
    throw;
  }
}

/// The fence: the row is read again inside the write transaction, so that the late result of an old
/// text never replaces a newer one. True if the record is to be written.
bool Backfill::is_still_true(Sidecar& sidecar, PendingRecord& record,
                             std::vector<PendingRecord>& changed) {
  auto now = rows_.find(record.key);
  if (!now) {
    if (sidecar.remove_record({store_, record.key.table, record.key.json})) ++result_.removed;
    return false;
  }
  Content content = content_of(now->record);
  if (content.kind == record.content.kind && content.hash == record.content.hash) return true;
  if (record.retried) {
    ++num_waiting_;
    tally_.skip(record.key, "its text changes faster than it can be embedded", false);
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
    const RunModels::Model& model = models_.stored(sidecar, record.content);
    model_id = model.id;
    dim = model.dim;
    if (record.state == RecordState::kEmbedded &&
        sidecar.fact(store_, "model") != std::to_string(model_id)) {
      sidecar.set_fact(store_, "model", std::to_string(model_id));
    }
  }
  sidecar.put_record(record_write(record, store_, model_id, dim, embedder_.rules_version()));
  record.written = true;
  switch (record.state) {
    case RecordState::kEmbedded:
      ++result_.embedded;
      result_.passages += record.passages.size();
      if (record.passages.size() > 1) ++result_.longer;
      if (record.from_original) ++result_.imported_vectors;
      break;
    case RecordState::kBlocked:
      tally_.block(record.key, record.reason);
      break;
    case RecordState::kSkipped:
      if (record.content.kind == Content::Kind::kText) tally_.skip(record.key, record.reason, true);
      break;
    case RecordState::kEmpty:
      break;
  }
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

/// False only if its row is known to be gone.
bool Backfill::can_be_there(const RecordKey& key) {
  try {
    return rows_.find(key).has_value();
  } catch (const CorruptData&) {
    return true;
  }
}

void Backfill::remove_orphans() {
  std::vector<RecordKey> candidates;
  engine_.read([&](Sidecar& sidecar) { candidates = known_.unseen(sidecar); });
  const Stopwatch storing;
  for (std::size_t begin = 0; begin < candidates.size(); begin += kOrphansPerTransaction) {
    const auto part =
        std::span(candidates)
            .subspan(begin, std::min(kOrphansPerTransaction, candidates.size() - begin));
    // Looked up once more: a record added while the walk was on was not seen by it.
    // So is one that a damaged page hides.
    const bool look_again = damaged_ || rows_.must_look_again();
    const RowLookup::Batch batch(rows_);
    const auto gone = [&](const RecordKey& key) { return !look_again || !can_be_there(key); };
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

}  // namespace nearlite
