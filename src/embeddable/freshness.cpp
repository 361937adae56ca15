// How well vectors fit their rows, computed from the rows.
#include <algorithm>
#include <unordered_set>

#include "content.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"

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

void count_row(const Content& content, const std::optional<StoredRecord>& stored,
               const std::vector<std::int64_t>& current, const std::string& rules,
               Freshness& freshness) {
  switch (content.kind) {
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
  if (!stored || stored->damaged || stored->state == RecordState::kEmpty) {
    ++freshness.missing;
  } else if (stored->state == RecordState::kBlocked) {
    // Refused under other rules, or for another text: it has to be looked at again.
    const bool valid = stored->text_hash == content.hash && stored->rules_version == rules;
    ++(valid ? freshness.blocked : freshness.missing);
  } else if (stored->state == RecordState::kSkipped) {
    ++(stored->text_hash == content.hash ? freshness.skipped : freshness.missing);
  } else if (stored->text_hash != content.hash) {
    ++freshness.stale_text;
  } else if (std::ranges::find(current, stored->model) == current.end()) {
    ++freshness.stale_model;
  } else {
    ++freshness.fresh;
  }
}

}  // namespace

Freshness EmbeddableDBMixin::freshness() const {
  Freshness freshness;
  freshness.model = options_.model_name;
  freshness.backend = backend_name(options_.backend);
  std::vector<std::int64_t> current;
  std::unordered_set<std::uint64_t> seen;
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
  });
  freshness.index_bytes = vectors.index_bytes();
  const std::string rules = options_.gate->rules_version();
  RecordCursor cursor = iter_records();
  SourceRecord source;
  while (cursor.next(source)) {
    ++freshness.rows;
    seen.insert(hash_of_key(source.key.table, source.key.json));
    const Content content = content_of(*this, source.record);
    std::optional<StoredRecord> stored;
    vectors.read([&](Sidecar& sidecar) {
      stored = sidecar.find_record({store, source.key.table, source.key.json});
    });
    count_row(content, stored, current, rules, freshness);
  }
  std::optional<std::string> waiting_since;
  vectors.read([&](Sidecar& sidecar) {
    sidecar.for_each_record(store, [&](const StoredRecord& record) {
      if (record.state == RecordState::kEmbedded &&
          !seen.contains(hash_of_key(record.table, record.key))) {
        ++freshness.orphan;
      }
    });
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
