#include "nearlite/databases/workflow_db.h"

#include <algorithm>
#include <array>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "seed_traits.h"
#include "vector_text.h"

namespace nearlite {
namespace {

const std::vector<std::string> kHashed{"action_chains", "argument_strings", "description",
                                       "workflow"};

/// Steps that only hold a place.
bool is_placeholder(const std::string& action) {
  constexpr std::array<std::string_view, 5> kPlaceholders{"start", "end", "noop", "return", "pass"};
  const std::string lower = to_lower_ascii(action);
  return std::find(kPlaceholders.begin(), kPlaceholders.end(), lower) != kPlaceholders.end();
}

WorkflowRecord workflow_of(const Record& row) {
  WorkflowRecord workflow;
  const auto list = [&](const char* column) { return comma_list(row.get(column)); };
  workflow.workflow = list("workflow");
  workflow.action_chains = list("action_chains");
  workflow.argument_strings = list("argument_strings");
  workflow.assigned_bots = list("assigned_bots");
  workflow.enhancements = list("enhancements");
  workflow.title = row.get("title");
  workflow.description = row.get("description");
  workflow.task_sequence = list("task_sequence");
  workflow.tags = list("tags");
  workflow.dependencies = list("dependencies");
  workflow.reasons = list("reasons");
  workflow.category = row.get("category");
  workflow.type_ = row.get("type");
  workflow.status = row.get("status");
  workflow.rejection_reason = row.get("rejection_reason");
  workflow.performance_data = row.get("performance_data");
  workflow.timestamp = row.get("timestamp");
  const auto real = [&](const char* column) {
    const Value* value = row.find(column);
    return value == nullptr ? 0.0 : real_of(*value);
  };
  workflow.workflow_duration = real("workflow_duration");
  workflow.estimated_profit_per_bot = real("estimated_profit_per_bot");
  workflow.distance = real("_distance");
  if (const Value* id = row.find("id")) workflow.wid = integer_of(*id);
  return workflow;
}

std::vector<WorkflowRecord> workflows_of(const std::vector<Record>& rows) {
  std::vector<WorkflowRecord> workflows;
  for (const Record& row : rows) workflows.push_back(workflow_of(row));
  return workflows;
}

}  // namespace

const SeedStore::Traits& WorkflowDB::traits() {
  static const Traits kTraits{
      .name = "workflow",
      .class_name = "WorkflowDB",
      .origin = "workflow",
      .kind = "workflow",
      .index_file = "workflow_embeddings.index",
      .metadata_file = "workflow_embeddings.json",
      .text_template = "workflow:1",
      .schema = {"CREATE TABLE IF NOT EXISTS workflows(id INTEGER PRIMARY KEY AUTOINCREMENT, "
                 "workflow TEXT, action_chains TEXT, argument_strings TEXT, assigned_bots TEXT, "
                 "enhancements TEXT, title TEXT, description TEXT, task_sequence TEXT, tags TEXT, "
                 "dependencies TEXT, reasons TEXT, category TEXT, type TEXT, status TEXT, "
                 "rejection_reason TEXT, workflow_duration REAL, performance_data TEXT, "
                 "estimated_profit_per_bot REAL, timestamp TEXT, source_menace_id TEXT, "
                 "content_hash TEXT NOT NULL)",
                 "CREATE TABLE IF NOT EXISTS bot_workflow(bot_id INTEGER, workflow_id INTEGER)",
                 "CREATE INDEX IF NOT EXISTS idx_workflows_source_menace_id ON "
                 "workflows(source_menace_id)",
                 "CREATE UNIQUE INDEX IF NOT EXISTS idx_workflows_content_hash ON "
                 "workflows(content_hash)"},
      .sources = {{"workflows", "id", ""}},
      .shown = {"id", "title", "description", "workflow", "tags", "category", "status"}};
  return kTraits;
}

WorkflowDB::WorkflowDB(const std::filesystem::path& database, SeedStoreOptions seed,
                       EmbeddableOptions options)
    : SeedStore(traits(), database, std::move(seed), std::move(options)) {}

EmbeddableOptions WorkflowDB::default_options(const std::filesystem::path& folder) {
  return options_in(traits(), folder);
}

std::int64_t WorkflowDB::add(const WorkflowRecord& workflow, const std::string& source_id,
                             AddReport* report) {
  AddReport own;
  AddReport& result = report != nullptr ? *report : own;
  const Fields row{{"workflow", comma_joined(workflow.workflow)},
                   {"action_chains", comma_joined(workflow.action_chains)},
                   {"argument_strings", comma_joined(workflow.argument_strings)},
                   {"assigned_bots", comma_joined(workflow.assigned_bots)},
                   {"enhancements", comma_joined(workflow.enhancements)},
                   {"title", workflow.title},
                   {"description", workflow.description},
                   {"task_sequence", comma_joined(workflow.task_sequence)},
                   {"tags", comma_joined(workflow.tags)},
                   {"dependencies", comma_joined(workflow.dependencies)},
                   {"reasons", comma_joined(workflow.reasons)},
                   {"category", workflow.category},
                   {"type", workflow.type_},
                   {"status", workflow.status},
                   {"rejection_reason", workflow.rejection_reason},
                   {"workflow_duration", workflow.workflow_duration},
                   {"performance_data", workflow.performance_data},
                   {"estimated_profit_per_bot", workflow.estimated_profit_per_bot},
                   {"timestamp", workflow.timestamp.empty() ? now() : workflow.timestamp},
                   {"source_menace_id", source_id.empty() ? source_menace_id() : source_id}};
  const std::int64_t id = insert("workflows", row, kHashed, &result);
  if (!result.duplicate) embed_row(id, &result);
  return id;
}

void WorkflowDB::update_status(std::int64_t id, const std::string& status) {
  update("workflows", id, {{"status", status}}, {});  // the status is no part of the text
}

void WorkflowDB::update_statuses(std::span<const std::int64_t> ids, const std::string& status) {
  for (const std::int64_t id : ids) update_status(id, status);
}

bool WorkflowDB::remove(std::int64_t id) {
  connection().prepare("DELETE FROM workflows WHERE id = ?1").run(id);
  const bool removed = connection().changes() > 0;
  remove_embedding(id);
  return removed;
}

std::int64_t WorkflowDB::replace(std::int64_t id, const WorkflowRecord& workflow,
                                 AddReport* report) {
  remove(id);
  return add(workflow, {}, report);
}

std::vector<WorkflowRecord> WorkflowDB::fetch(std::size_t limit, Scope scope) const {
  return workflows_of(
      rows("SELECT * FROM workflows WHERE " + scope_condition(scope) + " ORDER BY id DESC LIMIT ?2",
           {source_menace_id(), static_cast<std::int64_t>(limit)}));
}

std::vector<WorkflowRecord> WorkflowDB::fetch_workflows(Scope scope, WorkflowOrder order,
                                                        std::size_t limit,
                                                        bool include_embeddings) const {
  const char* column = order == WorkflowOrder::kConfidence     ? "estimated_profit_per_bot"
                       : order == WorkflowOrder::kOutcomeScore ? "workflow_duration"
                                                               : "timestamp";
  auto found = workflows_of(rows("SELECT * FROM workflows WHERE " + scope_condition(scope) +
                                     " ORDER BY " + column + " DESC, id LIMIT ?2",
                                 {source_menace_id(), static_cast<std::int64_t>(limit)}));
  if (!include_embeddings) return found;
  for (WorkflowRecord& workflow : found)
    workflow.embedding = get_vector(workflow.wid).value_or(std::vector<float>{});
  return found;
}

std::size_t WorkflowDB::usage_rate(std::int64_t id) const {
  const auto found = rows("SELECT assigned_bots FROM workflows WHERE id = ?1", {id});
  if (found.empty()) throw NotFound("\"workflows\" has no row " + std::to_string(id));
  const std::size_t assigned = comma_list(found.front().get("assigned_bots")).size();
  return assigned > 0 ? assigned : linked("bot_workflow", "workflow_id", id, "bot_id").size();
}

std::vector<WorkflowRecord> WorkflowDB::search_by_vector(std::span<const float> vector,
                                                         std::size_t top_k, Scope scope) const {
  return workflows_of(found_records(vector, top_k, scope));
}

std::string WorkflowDB::text(const Record& record) const {
  const std::string workflow = record.get("workflow");
  const std::string sequence = record.get("task_sequence");
  std::vector<std::string> actions = comma_list(trimmed(workflow).empty() ? sequence : workflow);
  const auto add_items = [&](const std::string& list) {
    for (std::string& item : comma_list(list)) actions.push_back(std::move(item));
  };
  if (!trimmed(workflow).empty() && sequence != workflow) add_items(sequence);
  add_items(record.get("argument_strings"));
  std::erase_if(actions, is_placeholder);

  std::vector<std::string> sentences;
  for (const std::string& action : actions) {
    for (std::string& sentence : sentences_of(action)) sentences.push_back(std::move(sentence));
  }
  std::string text = join_names(sentences, " ");
  const auto add_line = [&](const char* label, const std::string& value) {
    if (trimmed(value).empty()) return;
    if (!text.empty()) text += '\n';
    text += label + trimmed(value);
  };
  add_line("title: ", record.get("title"));
  add_line("description: ", record.get("description"));
  add_line("tags: ", join_names(comma_list(record.get("tags")), ", "));
  add_line("category: ", record.get("category"));
  add_line("type: ", record.get("type"));
  return text;
}

}  // namespace nearlite
