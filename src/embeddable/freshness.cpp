// How well vectors fit their rows, computed from the rows.
#include <algorithm>

#include "content.h"
#include "embedder.h"
#include "known_records.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "record_decisions.h"
#include "source_snapshot.h"

namespace nearlite {
namespace {

/// The generations of the store that are current. Without the model's files, the one in use counts
/// as current.
std::vector<std::int64_t> current_models(const EmbeddableDBMixin& db,
                                         const std::vector<ModelGeneration>& models,
                                         std::int64_t active) {
  std::vector<std::int64_t> current;
  for (const ModelGeneration& model : models) {
    try {
      if (is_current(db, model)) current.push_back(model.id);
    } catch (const Error&) {
      if (model.id == active) current.push_back(model.id);
    }
  }
  return current;
}

/// Whether the rules of today decide about the record as those did that it was written under.
bool decided_the_same(const EmbeddableDBMixin& db, const SourceRecord& source,
                      const Content& content, const StoredRecord& stored,
                      const RecordDecisions& decisions) {
  const Gate& gate = *db.options().gate;
  if (content.kind != Content::Kind::kText || stored.rules_version == gate.rules_version())
    return true;
  PendingRecord now;
  now.content = content;
  now.released = decisions.released(source.key, content.hash);
  Embedder::govern(now, gate);
  return now.state == stored.state && now.governed_text == stored.governed_text;
}

void count_as(Content::Kind kind, std::uint64_t hash, const KnownRecords::Entry* known,
              const std::vector<std::int64_t>& current, bool same_decision, Freshness& freshness) {
  switch (kind) {
    case Content::Kind::kEmpty:
      ++freshness.empty;
      return;
    case Content::Kind::kSkipped:
    case Content::Kind::kFailed:
      ++freshness.skipped;
      return;
    case Content::Kind::kText:
    case Content::Kind::kVector:
      break;
  }
  if (known == nullptr || known->damaged || known->state == RecordState::kEmpty) {
    ++freshness.missing;
  } else if (known->state == RecordState::kBlocked) {
    // Refused under other rules, or for another text: it has to be looked at again.
    const bool valid = known->text_hash == hash && same_decision;
    ++(valid ? freshness.blocked : freshness.missing);
  } else if (known->state == RecordState::kSkipped) {
    ++(known->text_hash == hash ? freshness.skipped : freshness.missing);
  } else if (known->text_hash != hash) {
    ++freshness.stale_text;
  } else if (!same_decision || std::ranges::find(current, known->model) == current.end()) {
    ++freshness.stale_model;
  } else {
    ++freshness.fresh;
  }
}

/// Of a row whose text is known to be the stored one.
void count_unchanged_row(const KnownRecords::Entry& known, const std::vector<std::int64_t>& current,
                         Freshness& freshness) {
  const bool empty = known.state == RecordState::kEmpty;
  count_as(empty ? Content::Kind::kEmpty : Content::Kind::kText, known.text_hash, &known, current,
           true, freshness);
}

/// Counts the rows of a store against what the sidecar knew of them at one moment.
class FreshnessCount {
 public:
  FreshnessCount(const EmbeddableDBMixin& db, VectorEngine& vectors)
      : db_(db), vectors_(vectors), store_(db.options().store_name) {}

  /// Without it nothing was ever embedded.
  void load(Sidecar& sidecar, std::vector<std::int64_t> current) {
    current_ = std::move(current);
    decisions_ = RecordDecisions::of(sidecar, store_);
    known_ = KnownRecords(sidecar, store_, db_.options().gate->rules_version());
  }

  /// Walks over all rows of one state of the source, as far as it holds still.
  void count(sqlite3* source, Freshness& freshness) {
    SourceSnapshot snapshot(source);
    const std::string& trusted = freshness.updated_column;
    RecordCursor cursor = trusted.empty() ? db_.iter_records() : db_.iter_versions();
    std::optional<RecordCursor> finder;
    if (!trusted.empty()) finder = db_.iter_records();
    SourceRecord row;
    while (cursor.next(row)) {
      snapshot.let_writers_in();
      count_row(row, finder, freshness);
    }
    freshness.orphan = known_.num_unseen(RecordState::kEmbedded);
    freshness.consistent = snapshot.consistent();
  }

 private:
  void count_row(SourceRecord& row, std::optional<RecordCursor>& finder, Freshness& freshness) {
    KnownRecords::Entry* entry = known_.see(row.key);
    if (decisions_.erased(row.key)) {
      ++freshness.rows;
      ++freshness.blocked;
      ++freshness.erased;
      return;
    }
    if (finder) {
      const std::string value = row.record.get(freshness.updated_column);
      if (entry != nullptr && !value.empty() && entry->same_rules &&
          entry->last_updated == hash_of_last_updated(value)) {
        ++freshness.rows;
        count_unchanged_row(*entry, current_, freshness);
        return;
      }
      auto whole = finder->find(row.key);
      if (!whole) {
        if (entry != nullptr) entry->seen = false;
        return;
      }
      row = std::move(*whole);
    }
    ++freshness.rows;
    const bool embedded = entry != nullptr && entry->state == RecordState::kEmbedded;
    const Content content = content_of(db_, row.record, embedded ? &entry->text_hash : nullptr);
    bool same_decision = true;
    if (entry != nullptr && !entry->same_rules) {
      std::optional<StoredRecord> stored;
      vectors_.read([&](Sidecar& sidecar) {
        stored = sidecar.find_record({store_, row.key.table, row.key.json});
      });
      same_decision = !stored || decided_the_same(db_, row, content, *stored, decisions_);
    }
    count_as(content.kind, content.hash, entry, current_, same_decision, freshness);
  }

  const EmbeddableDBMixin& db_;
  VectorEngine& vectors_;
  const std::string& store_;
  std::vector<std::int64_t> current_;
  RecordDecisions decisions_;
  KnownRecords known_;
};

/// Seconds since records were first seen waiting, by the note that is kept of it. Best effort: a
/// folder that cannot be written to has none.
std::optional<double> note_waiting(Sidecar& sidecar, const std::string& store, const Clock& clock,
                                   bool waits) {
  std::optional<std::string> since = sidecar.fact(store, "waiting_since");
  if (waits != since.has_value()) {
    try {
      Transaction transaction = sidecar.begin();
      if (waits) {
        since = rfc3339(clock.now());
        sidecar.set_fact(store, "waiting_since", *since);
      } else {
        sidecar.remove_fact(store, "waiting_since");
        since.reset();
      }
      transaction.commit();
    } catch (const Error&) {
    }
  }
  if (!since) return std::nullopt;
  const auto waited = clock.now() - parse_rfc3339(*since);
  return std::max(0.0, std::chrono::duration<double>(waited).count());
}

// Somebody who writes all the time to a large database with a rollback journal leaves no two
// moments alike.
constexpr int kTries = 3;

}  // namespace

Freshness EmbeddableDBMixin::freshness(const FreshnessOptions& options) const {
  Freshness freshness;
  const std::string& store = options_.store_name;
  VectorEngine& vectors = engine();
  for (int i = 0; i < kTries; ++i) {
    freshness = {};
    freshness.model = options_.model_name;
    freshness.backend = backend_name(options_.backend);
    if (!options.full) freshness.updated_column = updated_column();
    FreshnessCount rows(*this, vectors);
    vectors.read([&](Sidecar& sidecar) {
      const auto models = sidecar.models(store);
      const std::int64_t active = std::stoll(sidecar.fact(store, "model").value_or("0"));
      for (const ModelGeneration& model : models) {
        if (model.id == active) freshness.model = model.name;
      }
      freshness.last_backfill = sidecar.fact(store, "last_backfill").value_or("");
      freshness.sidecar_bytes = sidecar.size_bytes();
      rows.load(sidecar, current_models(*this, models, active));
    });
    rows.count(db_, freshness);
    if (freshness.consistent) break;
  }
  freshness.index_bytes = vectors.index_bytes();
  vectors.read([&](Sidecar& sidecar) {
    const bool waits = freshness.missing + freshness.stale_text + freshness.stale_model > 0;
    freshness.oldest_lag_seconds = note_waiting(sidecar, store, *options_.clock, waits);
  });
  return freshness;
}

}  // namespace nearlite
