// How well vectors fit their rows, computed from the rows.
#include <algorithm>

#include "content.h"
#include "embedder.h"
#include "known_records.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "record_decisions.h"

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

void count_row(Content::Kind kind, std::uint64_t hash, const KnownRecords::Entry* known,
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
  count_row(empty ? Content::Kind::kEmpty : Content::Kind::kText, known.text_hash, &known, current,
            true, freshness);
}

}  // namespace

Freshness EmbeddableDBMixin::freshness(const FreshnessOptions& options) const {
  Freshness freshness;
  freshness.model = options_.model_name;
  freshness.backend = backend_name(options_.backend);
  if (!options.full) freshness.updated_column = updated_column();
  std::vector<std::int64_t> current;
  KnownRecords known;
  RecordDecisions decisions;
  const std::string& store = options_.store_name;
  VectorEngine& vectors = engine();
  vectors.read([&](Sidecar& sidecar) {
    const auto models = sidecar.models(store);
    const std::int64_t active = std::stoll(sidecar.fact(store, "model").value_or("0"));
    current = current_models(*this, models, active);
    for (const ModelGeneration& model : models) {
      if (model.id == active) freshness.model = model.name;
    }
    freshness.last_backfill = sidecar.fact(store, "last_backfill").value_or("");
    freshness.sidecar_bytes = sidecar.size_bytes();
    decisions = RecordDecisions::of(sidecar, store);
    known = KnownRecords(sidecar, store, options_.gate->rules_version());
  });
  freshness.index_bytes = vectors.index_bytes();
  const std::string& trusted = freshness.updated_column;
  RecordCursor cursor = trusted.empty() ? iter_records() : iter_versions();
  std::optional<RecordCursor> finder;
  if (!trusted.empty()) finder = iter_records();
  SourceRecord source;
  while (cursor.next(source)) {
    KnownRecords::Entry* entry = known.see(source.key);
    if (decisions.erased(source.key)) {
      ++freshness.rows;
      ++freshness.blocked;
      ++freshness.erased;
      continue;
    }
    if (finder) {
      const std::string value = source.record.get(trusted);
      if (entry != nullptr && !value.empty() && entry->same_rules &&
          entry->last_updated == hash_of_last_updated(value)) {
        ++freshness.rows;
        count_unchanged_row(*entry, current, freshness);
        continue;
      }
      auto whole = finder->find(source.key);
      if (!whole) {
        if (entry != nullptr) entry->seen = false;
        continue;
      }
      source = std::move(*whole);
    }
    ++freshness.rows;
    const Content content = content_of(*this, source.record);
    bool same_decision = true;
    if (entry != nullptr && !entry->same_rules) {
      std::optional<StoredRecord> stored;
      vectors.read([&](Sidecar& sidecar) {
        stored = sidecar.find_record({store, source.key.table, source.key.json});
      });
      same_decision = !stored || decided_the_same(*this, source, content, *stored, decisions);
    }
    count_row(content.kind, content.hash, entry, current, same_decision, freshness);
  }
  freshness.orphan = known.num_unseen(RecordState::kEmbedded);
  std::optional<std::string> waiting_since;
  vectors.read([&](Sidecar& sidecar) {
    waiting_since = sidecar.fact(store, "waiting_since");
    const bool waits = freshness.missing + freshness.stale_text + freshness.stale_model > 0;
    if (waits == waiting_since.has_value()) return;
    // Best effort: the note of when waiting was first seen. A folder that cannot be written to has
    // none.
    try {
      Transaction transaction = sidecar.begin();
      if (waits) {
        waiting_since = rfc3339(options_.clock->now());
        sidecar.set_fact(store, "waiting_since", *waiting_since);
      } else {
        sidecar.remove_fact(store, "waiting_since");
        waiting_since.reset();
      }
      transaction.commit();
    } catch (const Error&) {
    }
  });
  if (waiting_since) {
    const auto waited = options_.clock->now() - parse_rfc3339(*waiting_since);
    freshness.oldest_lag_seconds = std::max(0.0, std::chrono::duration<double>(waited).count());
  }
  return freshness;
}

}  // namespace nearlite
