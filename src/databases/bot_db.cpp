#include "nearlite/databases/bot_db.h"

#include "nearlite/base/names.h"
#include "seed_traits.h"
#include "vector_text.h"

namespace nearlite {
namespace {

const std::vector<std::string> kHashed{"dependencies", "name", "resources", "tasks", "type"};

/// Entries that say nothing.
bool says_nothing(const std::string& entry) {
  const std::string lower = to_lower_ascii(entry);
  return num_characters(entry) < 3 || lower == "n/a" || lower == "none";
}

BotRecord bot_of(const Record& row) {
  BotRecord bot;
  bot.name = row.get("name");
  bot.type_ = row.get("type");
  bot.tasks = list_of_json(row.get("tasks"));
  bot.parent_id = row.get("parent_id");
  bot.dependencies = list_of_json(row.get("dependencies"));
  bot.resources = map_of_json(row.get("resources"));
  bot.hierarchy_level = row.get("hierarchy_level");
  bot.purpose = row.get("purpose");
  bot.tags = list_of_json(row.get("tags"));
  bot.toolchain = list_of_json(row.get("toolchain"));
  bot.creation_date = row.get("creation_date");
  bot.last_modification_date = row.get("last_modification_date");
  bot.status = row.get("status");
  bot.version = row.get("version");
  if (const Value* profit = row.find("estimated_profit")) bot.estimated_profit = real_of(*profit);
  if (const Value* id = row.find("id")) bot.bid = integer_of(*id);
  return bot;
}

std::vector<BotRecord> bots_of(const std::vector<Record>& rows) {
  std::vector<BotRecord> bots;
  for (const Record& row : rows) bots.push_back(bot_of(row));
  return bots;
}

}  // namespace

const SeedStore::Traits& BotDB::traits() {
  static const Traits kTraits{
      .name = "bot",
      .class_name = "BotDB",
      .origin = "bot",
      .kind = "bot",
      .index_file = "bot_embeddings.index",
      .metadata_file = "bot_embeddings.json",
      .text_template = "bot:1",
      .schema =
          {"CREATE TABLE IF NOT EXISTS bots(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, "
           "type TEXT, tasks TEXT, parent_id TEXT, dependencies TEXT, resources TEXT, "
           "hierarchy_level TEXT, purpose TEXT, tags TEXT, toolchain TEXT, creation_date TEXT, "
           "last_modification_date TEXT, status TEXT, version TEXT, estimated_profit REAL, "
           "source_menace_id TEXT NOT NULL, content_hash TEXT NOT NULL)",
           "CREATE TABLE IF NOT EXISTS bot_model(bot_id INTEGER, model_id INTEGER)",
           "CREATE TABLE IF NOT EXISTS bot_workflow(bot_id INTEGER, workflow_id INTEGER)",
           "CREATE TABLE IF NOT EXISTS bot_enhancement(source_menace_id TEXT, bot_id INTEGER, "
           "enhancement_id INTEGER)",
           "CREATE INDEX IF NOT EXISTS idx_bots_source_menace_id ON bots(source_menace_id)",
           "CREATE INDEX IF NOT EXISTS idx_bots_name ON bots(name)",
           "CREATE INDEX IF NOT EXISTS idx_bots_type ON bots(type)",
           "CREATE INDEX IF NOT EXISTS idx_bots_status ON bots(status)",
           "CREATE UNIQUE INDEX IF NOT EXISTS idx_bots_content_hash ON bots(content_hash)"},
      .sources = {{"bots", "id", ""}},
      .shown = {"id", "name", "purpose", "tags", "toolchain"}};
  return kTraits;
}

BotDB::BotDB(const std::filesystem::path& database, SeedStoreOptions seed,
             EmbeddableOptions options)
    : SeedStore(traits(), database, std::move(seed), std::move(options)) {}

EmbeddableOptions BotDB::default_options(const std::filesystem::path& folder) {
  return options_in(traits(), folder);
}

std::int64_t BotDB::add_bot(const BotRecord& bot, const BotLinks& links, AddReport* report) {
  AddReport own;
  AddReport& result = report != nullptr ? *report : own;
  const std::string time = now();
  const auto or_now = [&](const std::string& date) { return date.empty() ? time : date; };
  const Fields row{{"name", bot.name},
                   {"type", bot.type_},
                   {"tasks", json_list(bot.tasks)},
                   {"parent_id", bot.parent_id},
                   {"dependencies", json_list(bot.dependencies)},
                   {"resources", json_map(bot.resources)},
                   {"hierarchy_level", bot.hierarchy_level},
                   {"purpose", bot.purpose},
                   {"tags", json_list(bot.tags)},
                   {"toolchain", json_list(bot.toolchain)},
                   {"creation_date", or_now(bot.creation_date)},
                   {"last_modification_date", or_now(bot.last_modification_date)},
                   {"status", bot.status},
                   {"version", bot.version},
                   {"estimated_profit", bot.estimated_profit},
                   {"source_menace_id", source_menace_id()}};
  const std::int64_t id = insert("bots", row, kHashed, &result, [&](std::int64_t bot_id) {
    for (const std::int64_t model : links.models) link_model(bot_id, model);
    for (const std::int64_t workflow : links.workflows) link_workflow(bot_id, workflow);
    for (const std::int64_t enhancement : links.enhancements) {
      link_enhancement(bot_id, enhancement);
    }
  });
  if (!result.duplicate) embed_row(id, &result);
  return id;
}

void BotDB::update_bot(std::int64_t id, const Fields& fields, AddReport* report) {
  Fields changed = fields;
  changed.emplace_back("last_modification_date", now());
  update("bots", id, changed, kHashed);
  embed_row(id, report);
}

std::optional<BotRecord> BotDB::find_by_name(const std::string& name, Scope scope) const {
  const auto found = rows("SELECT * FROM bots WHERE " + scope_condition(scope) +
                              " AND name = ?2 COLLATE NOCASE ORDER BY id LIMIT 1",
                          {source_menace_id(), name});
  if (found.empty()) return std::nullopt;
  return bot_of(found.front());
}

std::vector<BotRecord> BotDB::fetch_all(Scope scope) const {
  return bots_of(rows("SELECT * FROM bots WHERE " + scope_condition(scope) + " ORDER BY id",
                      {source_menace_id()}));
}

std::vector<BotRecord> BotDB::by_level(const std::string& level, Scope scope) const {
  return bots_of(rows("SELECT * FROM bots WHERE " + scope_condition(scope) +
                          " AND hierarchy_level = ?2 ORDER BY id",
                      {source_menace_id(), level}));
}

void BotDB::link_model(std::int64_t bot_id, std::int64_t model_id) {
  link("bot_model", {{"bot_id", bot_id}, {"model_id", model_id}});
}

void BotDB::link_workflow(std::int64_t bot_id, std::int64_t workflow_id) {
  link("bot_workflow", {{"bot_id", bot_id}, {"workflow_id", workflow_id}});
}

void BotDB::link_enhancement(std::int64_t bot_id, std::int64_t enhancement_id) {
  link("bot_enhancement", {{"source_menace_id", source_menace_id()},
                           {"bot_id", bot_id},
                           {"enhancement_id", enhancement_id}});
}

std::vector<Record> BotDB::search_by_vector(std::span<const float> vector, std::size_t top_k,
                                            Scope scope) const {
  return found_records(vector, top_k, scope);
}

std::string BotDB::text(const Record& record) const {
  std::vector<std::string> pieces = sentences_of(record.get("purpose"));
  for (const char* column : {"tags", "toolchain"}) {
    for (const std::string& entry : list_of_json(record.get(column))) {
      pieces.push_back(trimmed(entry));
    }
  }
  std::erase_if(pieces, says_nothing);
  return joined_once(pieces);
}

}  // namespace nearlite
