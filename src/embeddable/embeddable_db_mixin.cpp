#include "nearlite/embeddable/embeddable_db_mixin.h"

#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "backfill.h"
#include "content.h"
#include "default_encoder.h"
#include "embedder.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/governance/rule_gate.h"
#include "nearlite/store/same_sqlite.h"
#include "record_decisions.h"
#include "vector_engine.h"

namespace nearlite {
namespace {

constexpr char kDefaultMetadata[] = "embeddings.json";

EmbeddableOptions completed(EmbeddableOptions options) {
  if (options.index_path.empty()) throw InvalidArgument("index_path is empty");
  const EmbeddableOptions defaults;
  // The seed's rule: a metadata path left at its default follows the index path.
  if (options.metadata_path.empty() ||
      (options.metadata_path == kDefaultMetadata && options.index_path != defaults.index_path)) {
    options.metadata_path = std::filesystem::path(options.index_path).replace_extension(".json");
  }
  if (options.sidecar_path.empty()) {
    options.sidecar_path = std::filesystem::path(options.index_path).replace_extension(".sqlite");
  }
  const std::filesystem::path& sidecar = options.sidecar_path;
  if (options.index_path == options.metadata_path || options.index_path == sidecar ||
      options.metadata_path == sidecar) {
    throw InvalidArgument("index_path " + options.index_path.string() + ", metadata_path " +
                          options.metadata_path.string() + " and the sidecar " + sidecar.string() +
                          " must be three files");
  }
  if (options.store_name.empty()) options.store_name = options.index_path.stem().string();
  if (!options.encoder) options.encoder = default_encoder(options.model_name);
  if (!options.gate) options.gate = builtin_gate(GateLevel::kSecrets);
  if (options.clock == nullptr) options.clock = &system_clock();
  return options;
}

/// The file behind a handle; empty for a database in memory.
std::filesystem::path file_of(sqlite3* db) {
  const char* name = db == nullptr ? nullptr : sqlite3_db_filename(db, "main");
  return name == nullptr ? "" : name;
}

}  // namespace

EmbeddableDBMixin::EmbeddableDBMixin(sqlite3* db, EmbeddableOptions options)
    : db_(db), options_(completed(std::move(options))), state_(std::make_unique<State>()) {
  if (db_ != nullptr) require_same_sqlite(db_);
  const auto database = file_of(db_);
  if (!database.empty() && stamp_of(database) &&
      (options_.index_path == database || options_.metadata_path == database ||
       sidecar_path() == database)) {
    throw InvalidArgument("the database " + database.string() +
                          " and its index or sidecar are the same file");
  }
}

EmbeddableDBMixin::~EmbeddableDBMixin() = default;

std::filesystem::path EmbeddableDBMixin::sidecar_path() const { return options_.sidecar_path; }

VectorEngine& EmbeddableDBMixin::engine() const {
  const std::lock_guard lock(state_->opening);
  if (!state_->engine) {
    state_->engine = std::make_unique<VectorEngine>(EngineSettings{sidecar_path(),
                                                                   options_.index_path,
                                                                   options_.metadata_path,
                                                                   file_of(db_),
                                                                   options_.store_name,
                                                                   options_.backend,
                                                                   options_.clock,
                                                                   {},
                                                                   1000,
                                                                   options_.memory});
  }
  return *state_->engine;
}

std::string EmbeddableDBMixin::text(const Record& record) const {
  std::string joined;
  for (const auto& [name, value] : record.fields()) {
    if (!std::holds_alternative<std::string>(value) || std::get<std::string>(value).empty())
      continue;
    if (!joined.empty()) joined += '\n';
    joined += std::get<std::string>(value);
  }
  return joined;
}

std::optional<std::vector<float>> EmbeddableDBMixin::vector(const Record&) const {
  return std::nullopt;
}

RecordCursor EmbeddableDBMixin::query(std::string select, const QueryOptions& options) const {
  return query_records(db_, std::move(select), options);
}

std::vector<float> EmbeddableDBMixin::encode_text(std::string_view text) const {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    throw InvalidArgument("the text to encode is blank");
  return question_encoder().encode(std::span(&text, 1), TextRole::kQuery).vectors;
}

const TextEncoder& EmbeddableDBMixin::question_encoder() const {
  const std::optional<ModelGeneration> model = engine().view().model;
  if (!model || is_own_identity(model->identity)) return encoder();
  try {
    if (encoder().info().identity == model->identity) return encoder();
  } catch (const NotFound&) {
    if (!options_.other_encoder) throw;  // the vectors may be of a model that is here
  }
  const std::lock_guard lock(state_->opening);
  if (state_->other_identity != model->identity && options_.other_encoder) {
    state_->other_encoder = options_.other_encoder(model->name);
    state_->other_identity = model->identity;
  }
  const bool is_it =
      state_->other_encoder && state_->other_encoder->info().identity == model->identity;
  // Otherwise a search says that its vectors are of another model, and finds nothing.
  return is_it ? *state_->other_encoder : encoder();
}

std::string EmbeddableDBMixin::vectors_model() const {
  std::string name;
  engine().read([&](Sidecar& sidecar) {
    const auto model = active_model(sidecar, options_.store_name);
    if (model && !is_own_identity(model->identity)) name = model->name;
  });
  return name;
}

std::string EmbeddableDBMixin::question_model() const { return question_encoder().info().identity; }

bool EmbeddableDBMixin::add_embedding(const RecordKey& record_id, const Record& record,
                                      const std::string& kind, const std::string& source_id,
                                      std::string* skipped_reason) {
  const SourceKey key{options_.store_name, record_id.table, record_id.json};
  std::optional<StoredRecord> before;
  RecordDecisions decisions;
  engine().read([&](Sidecar& sidecar) {
    before = sidecar.find_record(key);
    decisions = RecordDecisions::of(sidecar, options_.store_name);
  });
  if (decisions.erased(record_id)) {
    if (skipped_reason != nullptr)
      *skipped_reason = "it was erased and is never to be embedded again";
    return false;
  }
  PendingRecord pending;
  pending.key = record_id;
  pending.kind = kind;
  pending.source_id = source_id;
  pending.last_updated = last_updated_of(record);
  pending.content = content_of(*this, record);
  if (pending.content.kind == Content::Kind::kFailed) {
    if (skipped_reason != nullptr) *skipped_reason = pending.content.reason;
    return false;
  }
  pending.released = decisions.released(record_id, pending.content.hash);
  Embedder embedder(encoder(), *options_.gate, 1);
  embedder.embed(std::span(&pending, 1));
  ModelGeneration model{0,
                        "vectors of the store's own",
                        "",
                        pending.vectors.size(),
                        options_.text_template,
                        options_.embedding_version};
  if (pending.content.kind == Content::Kind::kVector) {
    model.identity = own_identity(model.dim);
  } else if (pending.content.kind == Content::Kind::kText &&
             pending.state == RecordState::kEmbedded) {
    const ModelInfo& info = encoder().info();
    model.name = info.name;
    model.identity = info.identity;
    model.dim = info.dim;
  }
  const Stopwatch storing;
  engine().write([&](Sidecar& sidecar) {
    // The fence: somebody wrote this record while the text was encoded, and the row says that
    // theirs is the newer text.
    const auto now = sidecar.find_record(key);
    const bool changed =
        now && (!before || now->id != before->id) && now->text_hash != pending.content.hash;
    if (changed) {
      const auto row = iter_records().find(record_id);
      if (row && content_of(*this, row->record).hash == now->text_hash) return;
    }
    if (pending.state == RecordState::kEmbedded) {
      const std::string& store = options_.store_name;
      model.id = sidecar.put_model(store, model);
      if (sidecar.fact(store, "model") != std::to_string(model.id)) {
        sidecar.set_fact(store, "model", std::to_string(model.id));
      }
    }
    sidecar.put_record(
        record_write(pending, options_.store_name, model.id, model.dim, embedder.rules_version()));
  });
  if (options_.figures) {
    options_.figures({options_.store_name, record_id, embedder.num_tokens(),
                      pending.passages.size(), embedder.encode_ms(), storing.elapsed_ms(),
                      pending.state == RecordState::kEmbedded ? "" : pending.reason});
  }
  if (pending.state == RecordState::kEmbedded) return true;
  if (skipped_reason != nullptr) *skipped_reason = pending.reason;
  return false;
}

bool EmbeddableDBMixin::remove_embedding(const RecordKey& record_id) {
  std::optional<std::vector<std::int64_t>> slots;
  if (!stamp_of(sidecar_path())) return false;
  engine().write([&](Sidecar& sidecar) {
    slots = sidecar.remove_record({options_.store_name, record_id.table, record_id.json});
  });
  return slots && !slots->empty();
}

std::optional<std::vector<float>> EmbeddableDBMixin::get_vector(const RecordKey& record_id) const {
  std::optional<std::vector<float>> vector;
  engine().read([&](Sidecar& sidecar) {
    vector = sidecar.vector_of({options_.store_name, record_id.table, record_id.json});
  });
  if (vector) tell_ages(std::span(&record_id, 1));
  return vector;
}

void EmbeddableDBMixin::tell_ages(std::span<const RecordKey> keys) const {
  if (!options_.ages || keys.empty()) return;
  const auto now = options_.clock->now();
  std::vector<EmbeddingAge> ages;
  engine().read([&](Sidecar& sidecar) {
    for (const RecordKey& key : keys) {
      const auto written = sidecar.written_at({options_.store_name, key.table, key.json});
      if (!written) continue;
      const std::chrono::duration<double> age = now - parse_rfc3339(*written);
      ages.push_back({options_.store_name, key, std::max(0.0, age.count())});
    }
  });
  if (!ages.empty()) options_.ages(ages);
}

bool EmbeddableDBMixin::needs_refresh(const RecordKey& record_id, const Record* record) const {
  std::optional<StoredRecord> stored;
  std::vector<ModelGeneration> models;
  bool erased = false;
  engine().read([&](Sidecar& sidecar) {
    erased = RecordDecisions::of(sidecar, options_.store_name).erased(record_id);
    stored = sidecar.find_record({options_.store_name, record_id.table, record_id.json});
    models = sidecar.models(options_.store_name);
  });
  if (erased) return false;
  if (!stored || stored->damaged) return true;
  if (record != nullptr && content_of(*this, *record).hash != stored->text_hash) return true;
  if (stored->state == RecordState::kEmpty || stored->state == RecordState::kSkipped) return false;
  if (stored->state == RecordState::kBlocked) {
    return stored->rules_version != options_.gate->rules_version();
  }
  const auto model = std::ranges::find(models, stored->model, &ModelGeneration::id);
  return stored->state == RecordState::kEmbedded &&
         (model == models.end() || !is_current(*this, *model));
}

std::optional<ModelGeneration> active_model(Sidecar& sidecar, const std::string& store) {
  const std::string id = sidecar.fact(store, "model").value_or("");
  for (ModelGeneration& known : sidecar.models(store)) {
    if (std::to_string(known.id) == id) return std::move(known);
  }
  return std::nullopt;
}

bool is_current(const EmbeddableDBMixin& db, const ModelGeneration& model) {
  const EmbeddableOptions& options = db.options();
  return model.text_template == options.text_template &&
         model.embedding_version == options.embedding_version &&
         (is_own_identity(model.identity) || model.identity == db.encoder().info().identity);
}

BackfillResult EmbeddableDBMixin::backfill_embeddings(const BackfillOptions& options) {
  if (db_ != nullptr && sqlite3_get_autocommit(db_) == 0) {
    throw InvalidArgument(
        "the database is inside an open transaction: uncommitted text must not be embedded",
        "commit or roll back first");
  }
  return Backfill(*this, db_, engine(), options).run();
}

void EmbeddableDBMixin::save_index() { engine().publish(PublishRule::kAlways); }

void EmbeddableDBMixin::load_index() {
  engine().view();
  engine().publish(PublishRule::kWhenItPays);
}

bool EmbeddableDBMixin::source_changed_since_backfill() const {
  std::optional<std::string> then;
  engine().read(
      [&](Sidecar& sidecar) { then = sidecar.fact(options_.store_name, "source_state"); });
  const std::string now = source_state_of(file_of(db_));
  return !then || now.empty() || *then != now;
}

}  // namespace nearlite
