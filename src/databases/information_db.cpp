#include "nearlite/databases/information_db.h"

#include "information_schema.h"
#include "seed_traits.h"
#include "vector_text.h"

namespace nearlite {
namespace {

InformationRecord information_of(const Record& row) {
  InformationRecord record;
  record.data_type = row.get("data_type");
  record.source_url = row.get("source_url");
  record.date_collected = row.get("date_collected");
  record.summary = row.get("summary");
  record.validation_notes = row.get("validation_notes");
  record.keywords = comma_list(row.get("keywords"));
  if (const Value* value = row.find("validated")) record.validated = integer_of(*value) != 0;
  if (const Value* value = row.find("data_depth_score")) record.data_depth_score = real_of(*value);
  if (const Value* value = row.find("info_id")) record.info_id = integer_of(*value);
  if (const Value* value = row.find("_distance")) record.distance = real_of(*value);
  return record;
}

}  // namespace

std::vector<std::string> information_schema() {
  return {
      "CREATE TABLE IF NOT EXISTS info(id INTEGER PRIMARY KEY AUTOINCREMENT, model_id INTEGER, "
      "contrarian_id INTEGER, title TEXT, summary TEXT, tags TEXT, category TEXT, type TEXT, "
      "content TEXT, data_depth REAL, source_url TEXT, notes TEXT, associated_bots TEXT, "
      "associated_errors TEXT, performance_data TEXT, timestamp REAL, energy INTEGER, "
      "corroboration_count INTEGER)",
      "CREATE TABLE IF NOT EXISTS info_workflows(info_id INTEGER, workflow_id INTEGER)",
      "CREATE TABLE IF NOT EXISTS info_enhancements(info_id INTEGER, enhancement_id INTEGER)",
      "CREATE TABLE IF NOT EXISTS info_bots(info_id INTEGER, bot_id INTEGER)",
      "CREATE VIRTUAL TABLE IF NOT EXISTS info_fts USING fts5(title, tags, content)",
      "CREATE TABLE IF NOT EXISTS information(info_id INTEGER PRIMARY KEY AUTOINCREMENT, "
      "data_type TEXT, source_url TEXT, date_collected TEXT, summary TEXT, validated INTEGER, "
      "validation_notes TEXT, keywords TEXT, data_depth_score REAL, source_menace_id TEXT NOT "
      "NULL)",
      "CREATE INDEX IF NOT EXISTS idx_information_source_menace_id ON "
      "information(source_menace_id)"};
}

const SeedStore::Traits& InformationDB::traits() {
  static const Traits kTraits{
      .name = "information",
      .class_name = "InformationDB",
      .origin = "info",
      .kind = "info",
      .index_file = "information_embeddings.index",
      .metadata_file = "information_embeddings.json",
      .text_template = "information:1",
      .schema = information_schema(),
      .sources = {{"information", "info_id", ""}},
      .shown = {"info_id", "data_type", "source_url", "summary", "validation_notes", "keywords"}};
  return kTraits;
}

InformationDB::InformationDB(const std::filesystem::path& database, SeedStoreOptions seed,
                             EmbeddableOptions options)
    : SeedStore(traits(), database, std::move(seed), std::move(options)) {}

EmbeddableOptions InformationDB::default_options(const std::filesystem::path& folder) {
  return options_in(traits(), folder);
}

std::int64_t InformationDB::add(const InformationRecord& information, AddReport* report) {
  const Fields row{
      {"data_type", information.data_type},
      {"source_url", information.source_url},
      {"date_collected", information.date_collected.empty() ? now() : information.date_collected},
      {"summary", information.summary},
      {"validated", std::int64_t{information.validated ? 1 : 0}},
      {"validation_notes", information.validation_notes},
      {"keywords", comma_joined(information.keywords)},
      {"data_depth_score", information.data_depth_score},
      {"source_menace_id", source_menace_id()}};
  const std::int64_t id = insert("information", row, {}, report);
  embed_row(id, report);
  return id;
}

void InformationDB::update(std::int64_t id, const Fields& fields, AddReport* report) {
  SeedStore::update("information", id, fields, {});
  embed_row(id, report);
}

std::vector<InformationRecord> InformationDB::fetch_all(Scope scope) const {
  std::vector<InformationRecord> found;
  for (const Record& row :
       rows("SELECT * FROM information WHERE " + scope_condition(scope) + " ORDER BY info_id",
            {source_menace_id()})) {
    found.push_back(information_of(row));
  }
  return found;
}

std::vector<InformationRecord> InformationDB::search_by_vector(std::span<const float> vector,
                                                               std::size_t top_k,
                                                               Scope scope) const {
  std::vector<InformationRecord> found;
  for (const Record& row : found_records(vector, top_k, scope))
    found.push_back(information_of(row));
  return found;
}

std::string InformationDB::text(const Record& record) const {
  return flattened(
      record, {"data_type", "source_url", "summary", "validated", "validation_notes", "keywords"},
      {"keywords"});
}

}  // namespace nearlite
