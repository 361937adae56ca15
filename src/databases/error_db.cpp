#include "nearlite/databases/error_db.h"

#include <numeric>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "seed_traits.h"
#include "vector_text.h"

namespace nearlite {
namespace {

const std::vector<std::string> kHashed{"description", "resolution", "type"};

/// Lines of a stack trace that name a file, and what may be a credential, say nothing about the
/// error.
bool is_left_out(const std::string& piece) {
  const std::string lower = to_lower_ascii(piece);
  return piece.empty() || lower.starts_with("file ") || lower.find("password") != lower.npos ||
         lower.find("secret") != lower.npos;
}

Value optional_id(const std::optional<std::int64_t>& id) {
  return id ? Value(*id) : Value(std::monostate{});
}

std::vector<std::string> schema_of_errors() {
  return {
      "CREATE TABLE IF NOT EXISTS errors(id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT, "
      "type TEXT, description TEXT, resolution TEXT, ts TEXT, category TEXT, cause TEXT, "
      "frequency INTEGER, source_menace_id TEXT NOT NULL DEFAULT '', content_hash TEXT NOT NULL)",
      "CREATE TABLE IF NOT EXISTS known_errors(id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT "
      "UNIQUE, solution TEXT)",
      "CREATE TABLE IF NOT EXISTS discrepancies(id INTEGER PRIMARY KEY AUTOINCREMENT, message "
      "TEXT, ts TEXT, source_menace_id TEXT NOT NULL)",
      "CREATE TABLE IF NOT EXISTS error_model(error_id INTEGER, model_id INTEGER)",
      "CREATE TABLE IF NOT EXISTS error_bot(source_menace_id TEXT, error_id INTEGER, bot_id "
      "INTEGER)",
      "CREATE TABLE IF NOT EXISTS bot_error(source_menace_id TEXT, bot_id INTEGER, error_id "
      "INTEGER)",
      "CREATE TABLE IF NOT EXISTS error_code(error_id INTEGER, code_id INTEGER)",
      "CREATE TABLE IF NOT EXISTS telemetry(id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT, "
      "bot_id TEXT, error_type TEXT, category TEXT, cause TEXT, stack_trace TEXT, root_module "
      "TEXT, module TEXT, module_counts TEXT, inferred_cause TEXT, ts TEXT, resolution_status "
      "TEXT, patch_id INTEGER, deploy_id INTEGER, frequency INTEGER, source_menace_id TEXT NOT "
      "NULL DEFAULT '', fix_suggestions TEXT, bottlenecks TEXT)",
      "CREATE TABLE IF NOT EXISTS error_stats(category TEXT, module TEXT, count INTEGER, "
      "UNIQUE(category, module))",
      "CREATE TABLE IF NOT EXISTS safe_mode(module TEXT PRIMARY KEY, active INTEGER)",
      "CREATE TABLE IF NOT EXISTS preemptive_patches(module TEXT, risk_score REAL, patch_id "
      "INTEGER, ts TEXT)",
      "CREATE TABLE IF NOT EXISTS error_clusters(error_type TEXT PRIMARY KEY, cluster_id INTEGER)",
      "CREATE TABLE IF NOT EXISTS test_results(passed INTEGER, failed INTEGER, ts TEXT)",
      "CREATE INDEX IF NOT EXISTS idx_errors_source_menace_id ON errors(source_menace_id)",
      "CREATE INDEX IF NOT EXISTS idx_telemetry_source_menace_id ON telemetry(source_menace_id)",
      "CREATE UNIQUE INDEX IF NOT EXISTS idx_errors_content_hash ON errors(content_hash)"};
}

}  // namespace

const SeedStore::Traits& ErrorDB::traits() {
  static const Traits kTraits{.name = "error",
                              .class_name = "ErrorDB",
                              .origin = "error",
                              .kind = "error",
                              .index_file = "error_embeddings.index",
                              .metadata_file = "error_embeddings.json",
                              .text_template = "error:1",
                              .schema = schema_of_errors(),
                              .sources = {{"errors", "id", ""},
                                          {"telemetry", "id", "telemetry"},
                                          {"known_errors", "id", "known_errors"},
                                          {"discrepancies", "id", "discrepancies"}},
                              .shown = {"id", "message", "cause", "stack_trace", "solution"}};
  return kTraits;
}

ErrorDB::ErrorDB(const std::filesystem::path& database, SeedStoreOptions seed,
                 EmbeddableOptions options)
    : SeedStore(traits(), database, std::move(seed), std::move(options)) {}

EmbeddableOptions ErrorDB::default_options(const std::filesystem::path& folder) {
  return options_in(traits(), folder);
}

std::int64_t ErrorDB::add_error(const ErrorRecord& error, const ErrorLinks& links,
                                AddReport* report) {
  AddReport own;
  AddReport& result = report != nullptr ? *report : own;
  const Fields row{{"message", error.message},
                   {"type", error.type_},
                   {"description", error.description.empty() ? error.message : error.description},
                   {"resolution", error.resolution},
                   {"ts", now()},
                   {"category", error.category},
                   {"cause", error.cause},
                   {"frequency", std::int64_t{1}},
                   {"source_menace_id", source_menace_id()}};
  const std::int64_t id = insert("errors", row, kHashed, &result, [&](std::int64_t error_id) {
    for (const std::int64_t model : links.models) link_model(error_id, model);
    for (const std::int64_t bot : links.bots) link_bot(error_id, bot);
    for (const std::int64_t code : links.codes) link_code(error_id, code);
  });
  if (result.duplicate) {
    connection()
        .prepare("UPDATE errors SET frequency = coalesce(frequency, 1) + 1 WHERE id = ?1")
        .run(id);
  } else {
    embed_row(id, &result);
  }
  return id;
}

std::int64_t ErrorDB::add_telemetry(const TelemetryEvent& event, AddReport* report) {
  const std::int64_t sum =
      std::accumulate(event.module_counts.begin(), event.module_counts.end(), std::int64_t{0},
                      [](std::int64_t total, const auto& count) { return total + count.second; });
  const Fields row{{"task_id", event.task_id},
                   {"bot_id", event.bot_id},
                   {"error_type", event.error_type},
                   {"category", event.category},
                   {"cause", event.cause},
                   {"stack_trace", event.stack_trace},
                   {"root_module", event.root_module},
                   {"module", event.module},
                   {"module_counts", json_counts(event.module_counts)},
                   {"inferred_cause", event.inferred_cause},
                   {"ts", event.ts.empty() ? now() : event.ts},
                   {"resolution_status", event.resolution_status},
                   {"patch_id", optional_id(event.patch_id)},
                   {"deploy_id", optional_id(event.deploy_id)},
                   {"frequency", sum > 0 ? sum : 1},
                   {"source_menace_id", source_menace_id()},
                   {"fix_suggestions", json_list(event.fix_suggestions)},
                   {"bottlenecks", json_list(event.bottlenecks)}};
  need_table("error_stats");
  const auto count_modules = [&](std::int64_t) {
    auto counts = event.module_counts;
    if (counts.empty() && !event.module.empty()) counts[event.module] = 1;
    for (const auto& [module, count] : counts) {
      connection()
          .prepare(
              "INSERT INTO error_stats(category, module, count) VALUES (?1, ?2, ?3) "
              "ON CONFLICT(category, module) DO UPDATE SET count = count + excluded.count")
          .run(std::string_view(event.category), std::string_view(module), count);
    }
  };
  const std::int64_t id = insert("telemetry", row, {}, report, count_modules);
  embed_row(RecordKey::of(std::vector<Value>{id}, "telemetry"), report);
  return id;
}

std::int64_t ErrorDB::add_known(const std::string& message, const std::string& solution,
                                AddReport* report) {
  need_table("known_errors");
  connection()
      .prepare(
          "INSERT INTO known_errors(message, solution) VALUES (?1, ?2) "
          "ON CONFLICT(message) DO UPDATE SET solution = excluded.solution")
      .run(std::string_view(message), std::string_view(solution));
  const auto row = rows("SELECT id FROM known_errors WHERE message = ?1", {message});
  const std::int64_t id = integer_of(*row.front().find("id"));
  embed_row(RecordKey::of(std::vector<Value>{id}, "known_errors"), report);
  return id;
}

std::optional<std::string> ErrorDB::find_solution(const std::string& message) const {
  if (!has_table("known_errors")) return std::nullopt;
  const auto found = rows("SELECT solution FROM known_errors WHERE message = ?1", {message});
  if (found.empty()) return std::nullopt;
  return found.front().get("solution");
}

std::int64_t ErrorDB::log_discrepancy(const std::string& message, AddReport* report) {
  const std::int64_t id = insert(
      "discrepancies",
      {{"message", message}, {"ts", now()}, {"source_menace_id", source_menace_id()}}, {}, report);
  embed_row(RecordKey::of(std::vector<Value>{id}, "discrepancies"), report);
  return id;
}

std::optional<std::int64_t> ErrorDB::find_error(const std::string& message, Scope scope) const {
  const auto found = rows("SELECT id FROM errors WHERE " + scope_condition(scope) +
                              " AND message = ?2 ORDER BY id LIMIT 1",
                          {source_menace_id(), message});
  if (found.empty()) return std::nullopt;
  return integer_of(*found.front().find("id"));
}

std::int64_t ErrorDB::recurrence_frequency(std::int64_t id) const {
  const auto found = rows("SELECT coalesce(frequency, 1) AS n FROM errors WHERE id = ?1", {id});
  if (found.empty()) throw NotFound("\"errors\" has no row " + std::to_string(id));
  return integer_of(*found.front().find("n"));
}

void ErrorDB::link_model(std::int64_t error_id, std::int64_t model_id) {
  link("error_model", {{"error_id", error_id}, {"model_id", model_id}});
}

void ErrorDB::link_bot(std::int64_t error_id, std::int64_t bot_id) {
  // The seed keeps this pair in two tables.
  for (const char* table : {"error_bot", "bot_error"}) {
    link(table,
         {{"source_menace_id", source_menace_id()}, {"error_id", error_id}, {"bot_id", bot_id}});
  }
}

void ErrorDB::link_code(std::int64_t error_id, std::int64_t code_id) {
  link("error_code", {{"error_id", error_id}, {"code_id", code_id}});
}

std::vector<Record> ErrorDB::search_by_vector(std::span<const float> vector, std::size_t top_k,
                                              Scope scope) const {
  std::vector<Record> found;
  for (const Record& row : found_records(vector, top_k, scope)) {
    Record record;
    const bool telemetry = row.get("_table") == "telemetry";
    for (const char* column : {"id", "message", "cause", "stack_trace", "_table", "_distance"}) {
      const std::string name = column;
      const bool other_form =
          telemetry ? name == "message" : name == "cause" || name == "stack_trace";
      const Value* value = row.find(name);
      if (value != nullptr && !other_form) record.set(name, *value);
    }
    found.push_back(std::move(record));
  }
  return found;
}

std::string ErrorDB::text(const Record& record) const {
  std::vector<std::string> pieces;
  for (const char* column : {"message", "cause", "root_cause"}) {
    if (!pieces.empty()) break;
    pieces = sentences_of(record.get(column));
  }
  for (const std::string& sentence : sentences_of(record.get("solution"))) {
    pieces.push_back(sentence);  // known errors only
  }
  for (const std::string& line : lines_of(record.get("stack_trace"))) {
    pieces.push_back(trimmed(line));
  }
  std::erase_if(pieces, is_left_out);
  return joined_once(pieces);
}

}  // namespace nearlite
