#include "nearlite/databases/enhancement_db.h"

#include "nearlite/base/error.h"
#include "seed_traits.h"
#include "vector_text.h"

namespace nearlite {
namespace {

const std::vector<std::string> kHashed{"after_code", "before_code", "description", "idea",
                                       "rationale"};

EnhancementRecord enhancement_of(const Record& row) {
  EnhancementRecord record;
  record.idea = row.get("idea");
  record.rationale = row.get("rationale");
  record.summary = row.get("summary");
  record.timestamp = row.get("timestamp");
  record.context = row.get("context");
  record.before_code = row.get("before_code");
  record.after_code = row.get("after_code");
  record.title = row.get("title");
  record.description = row.get("description");
  record.tags = comma_list(row.get("tags"));
  record.type_ = row.get("type");
  record.assigned_bots = comma_list(row.get("assigned_bots"));
  record.rejection_reason = row.get("rejection_reason");
  record.category = row.get("category");
  record.associated_bots = comma_list(row.get("associated_bots"));
  record.triggered_by = row.get("triggered_by");
  const auto real = [&](const char* column) {
    const Value* value = row.find(column);
    return value == nullptr ? 0.0 : real_of(*value);
  };
  record.score = real("score");
  record.confidence = real("confidence");
  record.outcome_score = real("outcome_score");
  record.cost_estimate = real("cost_estimate");
  record.distance = real("_distance");
  if (const Value* id = row.find("id")) record.id = integer_of(*id);
  return record;
}

Fields fields_of(const EnhancementRecord& record, const std::string& time) {
  return {{"idea", record.idea},
          {"rationale", record.rationale},
          {"summary", record.summary},
          {"score", record.score},
          {"confidence", record.confidence},
          {"outcome_score", record.outcome_score},
          {"timestamp", record.timestamp.empty() ? time : record.timestamp},
          {"context", record.context},
          {"before_code", record.before_code},
          {"after_code", record.after_code},
          {"title", record.title},
          {"description", record.description},
          {"tags", comma_joined(record.tags)},
          {"type", record.type_},
          {"assigned_bots", comma_joined(record.assigned_bots)},
          {"rejection_reason", record.rejection_reason},
          {"cost_estimate", record.cost_estimate},
          {"category", record.category},
          {"associated_bots", comma_joined(record.associated_bots)},
          {"triggered_by", record.triggered_by}};
}

}  // namespace

const SeedStore::Traits& EnhancementDB::traits() {
  static const Traits kTraits{
      .name = "enhancement",
      .class_name = "EnhancementDB",
      .origin = "enhancement",
      .kind = "enhancement",
      .index_file = "enhancement_embeddings.ann",
      .metadata_file = "enhancement_embeddings.json",
      .text_template = "enhancement:1",
      .schema =
          {"CREATE TABLE IF NOT EXISTS enhancements(id INTEGER PRIMARY KEY AUTOINCREMENT, "
           "idea TEXT, rationale TEXT, summary TEXT, score REAL, confidence REAL DEFAULT 0, "
           "outcome_score REAL DEFAULT 0, timestamp TEXT, context TEXT, before_code TEXT, "
           "after_code TEXT, title TEXT, description TEXT, tags TEXT, type TEXT, "
           "assigned_bots TEXT, rejection_reason TEXT, cost_estimate REAL, category TEXT, "
           "associated_bots TEXT, triggered_by TEXT, source_menace_id TEXT NOT NULL, "
           "content_hash TEXT UNIQUE)",
           "CREATE TABLE IF NOT EXISTS enhancement_models(enhancement_id INTEGER, model_id "
           "INTEGER)",
           "CREATE TABLE IF NOT EXISTS enhancement_bots(enhancement_id INTEGER, bot_id INTEGER)",
           "CREATE TABLE IF NOT EXISTS enhancement_workflows(enhancement_id INTEGER, workflow_id "
           "INTEGER)",
           "CREATE TABLE IF NOT EXISTS enhancement_history(id INTEGER PRIMARY KEY AUTOINCREMENT, "
           "file_path TEXT, original_hash TEXT, enhanced_hash TEXT, metric_delta REAL, "
           "author_bot TEXT, ts TEXT)",
           "CREATE TABLE IF NOT EXISTS prompt_history(id INTEGER PRIMARY KEY AUTOINCREMENT, "
           "error_fingerprint TEXT, prompt TEXT, fix TEXT, success INTEGER, ts TEXT)",
           "CREATE TABLE IF NOT EXISTS enhancement_embeddings(record_id TEXT PRIMARY KEY, kind "
           "TEXT)",
           "CREATE INDEX IF NOT EXISTS idx_enhancements_source_menace_id ON "
           "enhancements(source_menace_id)",
           "CREATE INDEX IF NOT EXISTS idx_enhancements_confidence ON enhancements(confidence)",
           "CREATE INDEX IF NOT EXISTS idx_enhancements_outcome_score ON "
           "enhancements(outcome_score)",
           "CREATE UNIQUE INDEX IF NOT EXISTS idx_enhancements_content_hash ON "
           "enhancements(content_hash)"},
      .sources = {{"enhancements", "id", ""}},
      .shown = {"id", "title", "idea", "summary", "before_code", "after_code", "context"}};
  return kTraits;
}

EnhancementDB::EnhancementDB(const std::filesystem::path& database, SeedStoreOptions seed,
                             EmbeddableOptions options)
    : SeedStore(traits(), database, std::move(seed), std::move(options)) {}

EmbeddableOptions EnhancementDB::default_options(const std::filesystem::path& folder) {
  return options_in(traits(), folder);
}

std::int64_t EnhancementDB::add(const EnhancementRecord& enhancement, AddReport* report) {
  AddReport own;
  AddReport& result = report != nullptr ? *report : own;
  Fields row = fields_of(enhancement, now());
  row.emplace_back("source_menace_id", source_menace_id());
  const std::int64_t id = insert("enhancements", row, kHashed, &result, [&](std::int64_t new_id) {
    for (const std::int64_t model : enhancement.model_ids) link_model(new_id, model);
    for (const std::int64_t bot : enhancement.bot_ids) link_bot(new_id, bot);
    for (const std::int64_t workflow : enhancement.workflow_ids) link_workflow(new_id, workflow);
  });
  if (!result.duplicate) {
    embed_row(id, &result);
    if (result.embedded) mirror(id, true);
  }
  return id;
}

void EnhancementDB::update(std::int64_t id, const EnhancementRecord& enhancement,
                           AddReport* report) {
  AddReport own;
  AddReport& result = report != nullptr ? *report : own;
  SeedStore::update("enhancements", id, fields_of(enhancement, now()), kHashed);
  embed_row(id, &result);
  if (result.embedded) mirror(id, true);
}

void EnhancementDB::mirror(std::int64_t id, bool embedded) {
  if (!has_table("enhancement_embeddings")) return;  // a file that the original made
  const std::string key = std::to_string(id);
  if (embedded) {
    connection()
        .prepare("INSERT OR IGNORE INTO enhancement_embeddings(record_id, kind) VALUES (?1, ?2)")
        .run(std::string_view(key), std::string_view("enhancement"));
  } else {
    connection()
        .prepare("DELETE FROM enhancement_embeddings WHERE record_id = ?1")
        .run(std::string_view(key));
  }
}

BackfillResult EnhancementDB::backfill_embeddings(const BackfillOptions& backfill_options) {
  BackfillResult result = SeedStore::backfill_embeddings(backfill_options);
  if (backfill_options.dry_run || !has_table("enhancement_embeddings")) return result;
  const auto ids = rows("SELECT id FROM enhancements ORDER BY id", {});
  Transaction transaction(connection());
  connection().execute(
      "DELETE FROM enhancement_embeddings WHERE CAST(record_id AS INTEGER) NOT IN (SELECT id FROM "
      "enhancements)");
  for (const Record& row : ids) {
    const std::int64_t id = integer_of(*row.find("id"));
    mirror(id, get_vector(id).has_value());
  }
  transaction.commit();
  return result;
}

void EnhancementDB::link_model(std::int64_t id, std::int64_t model_id) {
  link("enhancement_models", {{"enhancement_id", id}, {"model_id", model_id}});
}

void EnhancementDB::link_bot(std::int64_t id, std::int64_t bot_id) {
  link("enhancement_bots", {{"enhancement_id", id}, {"bot_id", bot_id}});
}

void EnhancementDB::link_workflow(std::int64_t id, std::int64_t workflow_id) {
  link("enhancement_workflows", {{"enhancement_id", id}, {"workflow_id", workflow_id}});
}

std::vector<std::int64_t> EnhancementDB::models_for(std::int64_t id) const {
  return linked("enhancement_models", "enhancement_id", id, "model_id");
}

std::vector<std::int64_t> EnhancementDB::bots_for(std::int64_t id) const {
  return linked("enhancement_bots", "enhancement_id", id, "bot_id");
}

std::vector<std::int64_t> EnhancementDB::workflows_for(std::int64_t id) const {
  return linked("enhancement_workflows", "enhancement_id", id, "workflow_id");
}

double EnhancementDB::roi_uplift(std::int64_t id) const {
  const auto found = rows("SELECT score FROM enhancements WHERE id = ?1", {id});
  if (found.empty()) throw NotFound("\"enhancements\" has no row " + std::to_string(id));
  return real_of(*found.front().find("score"));
}

EnhancementRecord EnhancementDB::with_links(EnhancementRecord enhancement) const {
  enhancement.model_ids = models_for(enhancement.id);
  enhancement.bot_ids = bots_for(enhancement.id);
  enhancement.workflow_ids = workflows_for(enhancement.id);
  return enhancement;
}

std::vector<EnhancementRecord> EnhancementDB::fetch(std::size_t limit, EnhancementOrder order,
                                                    bool descending, Scope scope) const {
  const char* column = order == EnhancementOrder::kId           ? "id"
                       : order == EnhancementOrder::kConfidence ? "confidence"
                                                                : "outcome_score";
  std::vector<EnhancementRecord> found;
  for (const Record& row :
       rows("SELECT * FROM enhancements WHERE " + scope_condition(scope) + " ORDER BY " + column +
                (descending ? " DESC" : "") + ", id LIMIT ?2",
            {source_menace_id(), static_cast<std::int64_t>(limit)})) {
    found.push_back(with_links(enhancement_of(row)));
  }
  return found;
}

std::vector<EnhancementRecord> EnhancementDB::search_by_vector(std::span<const float> vector,
                                                               std::size_t top_k,
                                                               Scope scope) const {
  std::vector<EnhancementRecord> found;
  for (const Record& row : found_records(vector, top_k, scope)) {
    found.push_back(with_links(enhancement_of(row)));
  }
  return found;
}

std::string EnhancementDB::text(const Record& record) const {
  const std::string before = record.get("before_code");
  const std::string after = record.get("after_code");
  const bool has_code = !trimmed(before).empty() || !trimmed(after).empty();
  std::string text = has_code ? unified_diff(before, after) : record.get("context");
  const std::string summary = record.get("summary");
  if (trimmed(text).empty()) return summary;
  if (!trimmed(summary).empty()) text += "\n" + summary;
  return text;
}

}  // namespace nearlite
