// Vectors out of a store and into one.
#include "nearlite/embeddable/transfer.h"

#include <algorithm>
#include <cmath>

#include "content.h"
#include "embedder.h"
#include "mixin_state.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/store/lease.h"
#include "original_import.h"
#include "record_decisions.h"

namespace nearlite {
namespace {

constexpr std::size_t kRecordsPerTransaction = 200;
constexpr std::size_t kMaxListed = 1000;

/// Checks records against their rows, and writes those that fit.
class Importer {
 public:
  Importer(const EmbeddableDBMixin& db, VectorEngine& engine)
      : db_(db),
        engine_(engine),
        store_(db.options().store_name),
        embedder_(db.encoder(), *db.options().gate, 1),
        finder_(db.iter_records()) {
    engine_.create();
    lease_connection_ = std::make_unique<Sidecar>(
        engine_.settings().sidecar, SidecarOptions{.clock = engine_.settings().clock});
    lease_ = std::make_unique<Lease>(*lease_connection_, store_, std::chrono::milliseconds(0));
    engine_.read([&](Sidecar& sidecar) { decisions_ = RecordDecisions::of(sidecar, store_); });
  }

  void take(TransferRecord& record) {
    const std::string reason = fit(record);
    if (!reason.empty()) {
      ++result_.refused;
      if (result_.refusals.size() < kMaxListed)
        result_.refusals.push_back({record.key.display(), reason});
    }
    if (pending_.size() >= kRecordsPerTransaction) flush();
  }

  ImportResult finish() {
    flush();
    engine_.publish(PublishRule::kWhenItPays);
    return std::move(result_);
  }

 private:
  /// Why the record does not fit; "": it was kept for writing.
  std::string fit(TransferRecord& record) {
    if (record.dim == 0 || record.vectors.empty() || record.vectors.size() % record.dim != 0)
      return "there is no vector";
    const std::size_t count = record.vectors.size() / record.dim;
    if (!record.passages.empty() && record.passages.size() != count)
      return "it has " + std::to_string(count) + " vectors for " +
             std::to_string(record.passages.size()) + " passages";
    for (std::size_t i = 0; i < count; ++i) {
      const auto vector = std::span(record.vectors).subspan(i * record.dim, record.dim);
      if (!std::ranges::all_of(vector, [](float value) { return std::isfinite(value); }))
        return "the vector holds a value that is not finite";
      if (std::ranges::all_of(vector, [](float value) { return value == 0; }))
        return "the vector is all zeros";
    }
    if (decisions_.erased(record.key)) return "it was erased, and is not to be embedded";
    const auto row = finder_.find(record.key);
    if (!row) return "the store has no such record";
    PendingRecord pending;
    pending.content = content_of(db_, row->record);
    pending.key = record.key;
    pending.kind = row->kind;
    pending.source_id = row->source_id;
    pending.last_updated = last_updated_of(row->record);
    pending.written_at = record.embedded_at;
    pending.released = decisions_.released(pending.key, pending.content.hash);
    embedder_.govern(pending);
    if (pending.state != RecordState::kEmbedded)
      return "nothing of this record is to be embedded" +
             (pending.reason.empty() ? "" : ": " + pending.reason);
    std::string reason = pending.content.kind == Content::Kind::kVector
                             ? fit_own(record, pending)
                             : fit_text(record, pending, count);
    if (reason.empty()) {
      pending.vectors = std::move(record.vectors);
      pending_.push_back(std::move(pending));
    }
    return reason;
  }

  static std::string fit_own(const TransferRecord& record, PendingRecord& pending) {
    const std::size_t dim = pending.content.vector.size();
    if (record.dim != dim || record.vectors.size() != dim)
      return "the vector has " + std::to_string(record.vectors.size()) +
             " dimensions, the store has " + std::to_string(dim);
    pending.passages = {{0, 0}};
    return {};
  }

  std::string fit_text(const TransferRecord& record, PendingRecord& pending,
                       std::size_t count) const {
    const ModelInfo& info = db_.encoder().info();
    if (record.identity != info.identity)
      return "made by " + (record.model.empty() ? "a model that is not named" : record.model) +
             (record.identity.empty() ? "" : " (" + record.identity + ")") + ", the store uses " +
             info.name + " (" + info.identity + ")";
    if (record.dim != info.dim)
      return "the vector has " + std::to_string(record.dim) + " dimensions, the model has " +
             std::to_string(info.dim);
    const std::string& text = embedded_text(pending);
    if (record.text_hash != xxh3_64(text)) return "the text is another now";
    if (record.passages.empty()) {
      pending.passages = db_.encoder().passages(text);
    } else {
      for (const auto& passage : record.passages) {
        if (passage.begin >= passage.end || passage.end > text.size())
          return "a passage is outside of the text";
        pending.passages.push_back({passage.begin, passage.end});
      }
    }
    if (pending.passages.size() != count)
      return "it has " + std::to_string(count) + " vectors, its text has " +
             std::to_string(pending.passages.size()) + " passages";
    return {};
  }

  void flush() {
    if (pending_.empty()) return;
    engine_.write([&](Sidecar& sidecar) {
      lease_->renew(sidecar);
      for (const PendingRecord& record : pending_) write(sidecar, record);
    });
    result_.taken += pending_.size();
    pending_.clear();
  }

  void write(Sidecar& sidecar, const PendingRecord& record) const {
    const EmbeddableOptions& options = db_.options();
    ModelGeneration model{0,
                          "vectors of the store's own",
                          "",
                          record.content.vector.size(),
                          options.text_template,
                          options.embedding_version};
    if (record.content.kind == Content::Kind::kVector) {
      model.identity = own_identity(model.dim);
    } else {
      const ModelInfo& info = db_.encoder().info();
      model.name = info.name;
      model.identity = info.identity;
      model.dim = info.dim;
    }
    model.id = sidecar.put_model(store_, model);
    const std::string id = std::to_string(model.id);
    if (sidecar.fact(store_, "model") != id) sidecar.set_fact(store_, "model", id);
    sidecar.put_record(
        record_write(record, store_, model.id, model.dim, embedder_.rules_version()));
  }

  const EmbeddableDBMixin& db_;
  VectorEngine& engine_;
  const std::string& store_;
  Embedder embedder_;
  RecordCursor finder_;
  std::unique_ptr<Sidecar> lease_connection_;
  std::unique_ptr<Lease> lease_;
  RecordDecisions decisions_;
  std::vector<PendingRecord> pending_;
  ImportResult result_;
};

}  // namespace

void EmbeddableDBMixin::export_vectors(
    const std::function<void(const TransferRecord&)>& visit) const {
  engine().read([&](Sidecar& sidecar) {
    sidecar.connection().execute("BEGIN");  // one state for all
    try {
      const auto models = sidecar.models(options_.store_name);
      sidecar.for_each_record(options_.store_name, [&](const StoredRecord& stored) {
        if (stored.state != RecordState::kEmbedded || stored.damaged) return;
        const auto model = std::ranges::find(models, stored.model, &ModelGeneration::id);
        auto passages = sidecar.passages_of({options_.store_name, stored.table, stored.key});
        if (model == models.end() || !passages) return;
        TransferRecord record;
        record.key.json = stored.key;
        record.key.table = stored.table;
        record.model = model->name;
        record.identity = model->identity;
        record.dim = model->dim;
        record.embedded_at = passages->written_at;
        record.text_hash =
            stored.governed_text.empty() ? stored.text_hash : xxh3_64(stored.governed_text);
        for (const auto& passage : passages->passages)
          record.passages.push_back({passage.text_begin, passage.text_end});
        record.vectors = std::move(passages->vectors);
        visit(record);
      });
    } catch (...) {
      sidecar.connection().rollback_quietly();
      throw;
    }
    sidecar.connection().execute("COMMIT");
  });
}

ImportResult EmbeddableDBMixin::import_vectors(const TransferSource& next) {
  Importer importer(*this, engine());
  TransferRecord record;
  while (next(record)) {
    importer.take(record);
    record = {};
  }
  return importer.finish();
}

ImportResult EmbeddableDBMixin::import_original(const std::filesystem::path& file) {
  if (!stamp_of(file)) throw NotFound("there is no file " + file.string());
  VectorEngine& vectors = engine();
  vectors.create();
  OriginalImport original(file, *options_.gate, options_.embedding_version);
  const Embedder embedder(encoder(), *options_.gate, 1);
  ImportResult result;
  std::vector<PendingRecord> own;
  RecordDecisions decisions;
  vectors.read(
      [&](Sidecar& sidecar) { decisions = RecordDecisions::of(sidecar, options_.store_name); });
  RecordCursor cursor = iter_records();
  SourceRecord source;
  const auto flush = [&] {
    vectors.write([&](Sidecar& sidecar) {
      original.store(sidecar, options_.store_name);
      for (const PendingRecord& record : own) {
        const std::size_t dim = record.vectors.size();
        const std::int64_t model = sidecar.put_model(
            options_.store_name, {0, "vectors of the store's own", own_identity(dim), dim,
                                  options_.text_template, options_.embedding_version});
        sidecar.set_fact(options_.store_name, "model", std::to_string(model));
        sidecar.put_record(
            record_write(record, options_.store_name, model, dim, embedder.rules_version()));
      }
    });
    result.taken += own.size();
    own.clear();
  };
  while (cursor.next(source)) {
    if (decisions.erased(source.key)) continue;
    PendingRecord record;
    record.content = content_of(*this, source.record);
    record.last_updated = last_updated_of(source.record);
    record.key = std::move(source.key);
    record.kind = std::move(source.kind);
    record.source_id = std::move(source.source_id);
    if (record.content.kind == Content::Kind::kFailed) continue;
    original.apply(record);
    if (record.from_original) {
      embedder.govern(record);
      record.passages = {{0, 0}};
      record.vectors = record.content.vector;
      own.push_back(std::move(record));
    }
    if (own.size() >= kRecordsPerTransaction) flush();
  }
  flush();
  vectors.publish(PublishRule::kWhenItPays);
  result.metadata = original.num_records();
  result.notes = original.notes();
  return result;
}

void EmbeddableDBMixin::take_decisions_from(const EmbeddableDBMixin& other) {
  Sidecar sidecar(sidecar_path(), SidecarOptions{.create = true,
                                                 .like = engine().settings().database,
                                                 .clock = options_.clock});
  sidecar.take_decisions_from(other.sidecar_path());
}

}  // namespace nearlite
