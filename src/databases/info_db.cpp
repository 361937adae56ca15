#include "nearlite/databases/info_db.h"

#include <algorithm>
#include <cctype>
#include <chrono>

#include "information_schema.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "seed_traits.h"
#include "vector_text.h"

namespace nearlite {
namespace {

constexpr double kSummaryRatio = 0.2;
constexpr double kDeepLength = 500;  // characters of content that count as full depth

ResearchItem item_of(const Record& row) {
  ResearchItem item;
  const auto integer = [&](const char* column) {
    const Value* value = row.find(column);
    return value == nullptr ? std::int64_t{0} : integer_of(*value);
  };
  const auto real = [&](const char* column) {
    const Value* value = row.find(column);
    return value == nullptr ? 0.0 : real_of(*value);
  };
  item.model_id = integer("model_id");
  const Value* contrarian = row.find("contrarian_id");
  if (contrarian != nullptr && !std::holds_alternative<std::monostate>(*contrarian)) {
    item.contrarian_id = integer_of(*contrarian);
  }
  item.title = row.get("title");
  item.summary = row.get("summary");
  item.tags = comma_list(row.get("tags"));
  item.category = row.get("category");
  item.type_ = row.get("type");
  item.content = row.get("content");
  item.data_depth = real("data_depth");
  item.source_url = row.get("source_url");
  item.notes = row.get("notes");
  item.associated_bots = comma_list(row.get("associated_bots"));
  item.associated_errors = comma_list(row.get("associated_errors"));
  item.performance_data = row.get("performance_data");
  item.timestamp = real("timestamp");
  item.energy = integer("energy");
  item.corroboration_count = integer("corroboration_count");
  item.item_id = integer("id");
  item.distance = real("_distance");
  return item;
}

std::vector<ResearchItem> items_of(const std::vector<Record>& rows) {
  std::vector<ResearchItem> items;
  for (const Record& row : rows) items.push_back(item_of(row));
  return items;
}

/// The first fifth of the sentences; of a text of one sentence all.
std::string summary_of(const std::string& content) {
  std::vector<std::string> sentences;
  for (std::size_t at = 0; at <= content.size();) {
    const std::size_t end = std::min(content.find('.', at), content.size());
    if (std::string sentence = trimmed(std::string_view(content).substr(at, end - at));
        !sentence.empty()) {
      sentences.push_back(std::move(sentence));
    }
    at = end + 1;
  }
  if (sentences.size() <= 1) return content;
  const auto share =
      static_cast<std::size_t>(static_cast<double>(sentences.size()) * kSummaryRatio);
  sentences.resize(std::max<std::size_t>(1, share));
  return join_names(sentences, ". ") + ".";
}

void add_note(ResearchItem& item, const std::string& note) {
  if (!item.notes.empty()) item.notes += "; ";
  item.notes += note;
}

/// Words of a question as an FTS5 expression: each must begin a word of the row.
std::string prefix_expression(const std::string& term) {
  std::string expression;
  std::string word;
  for (const char c : term + " ") {
    const bool part = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
                      (static_cast<unsigned char>(c) & 0x80U) != 0;
    if (part) {
      word += c;
    } else if (!word.empty()) {
      expression += (expression.empty() ? "\"" : " \"") + word + "\"*";
      word.clear();
    }
  }
  return expression;
}

}  // namespace

const SeedStore::Traits& InfoDB::traits() {
  static const Traits kTraits{.name = "research",
                              .class_name = "InfoDB",
                              .origin = "research",
                              .kind = "info",
                              .index_file = "information_embeddings.index",
                              .metadata_file = "information_embeddings.json",
                              .text_template = "info:1",
                              .schema = information_schema(),
                              .sources = {{"info", "id", ""}},
                              .shown = {"id", "title", "summary", "tags", "content", "source_url"}};
  return kTraits;
}

InfoDB::InfoDB(const std::filesystem::path& database, SeedStoreOptions seed,
               EmbeddableOptions options, InfoValidators validators)
    : SeedStore(traits(), database, std::move(seed), std::move(options)),
      validators_(std::move(validators)) {}

EmbeddableOptions InfoDB::default_options(const std::filesystem::path& folder) {
  return options_in(traits(), folder);
}

void InfoDB::corroborate(ResearchItem& item) const {
  if (item.energy <= 1) return;
  const bool by_model = item.energy >= 3 && item.model_id != 0;
  const auto related = rows(
      "SELECT id, title = ?1 COLLATE NOCASE AND title <> '' AS topic, ?3 AND model_id = ?2 AS "
      "model "
      "FROM info WHERE (title = ?1 COLLATE NOCASE AND title <> '') OR (?3 AND model_id = ?2) "
      "ORDER BY id",
      {item.title, item.model_id, std::int64_t{by_model ? 1 : 0}});
  for (const Record& row : related) {
    std::vector<std::string> shared;
    for (const char* what : {"topic", "model"}) {
      if (integer_of(*row.find(what)) != 0) shared.emplace_back(what);
    }
    add_note(item, "xref " + row.get("id") + " (" + join_names(shared) + ")");
  }
  item.corroboration_count += static_cast<std::int64_t>(related.size());
  if (item.energy < 3) return;
  if (validators_.text) {
    add_note(item, validators_.text(item) ? "validated:text" : "validated:text_fail");
  }
  if (validators_.video) {
    add_note(item, validators_.video(item) ? "validated:video" : "validated:video_fail");
  }
}

std::int64_t InfoDB::add(ResearchItem item, const InfoLinks& links, AddReport* report) {
  if (item.summary.empty()) item.summary = summary_of(item.content);
  if (item.type_.empty()) item.type_ = "text";
  if (item.data_depth == 0) {
    item.data_depth =
        std::min(static_cast<double>(num_characters(item.content)) / kDeepLength, 1.0);
  }
  if (item.timestamp == 0) {
    const Clock& clock = options().clock != nullptr ? *options().clock : system_clock();
    item.timestamp = std::chrono::duration<double>(clock.now().time_since_epoch()).count();
  }
  corroborate(item);
  const std::string tags = comma_joined(item.tags);
  const Fields row{
      {"model_id", item.model_id == 0 ? Value(std::monostate{}) : Value(item.model_id)},
      {"contrarian_id", item.contrarian_id ? Value(*item.contrarian_id) : Value(std::monostate{})},
      {"title", item.title},
      {"summary", item.summary},
      {"tags", tags},
      {"category", item.category},
      {"type", item.type_},
      {"content", item.content},
      {"data_depth", item.data_depth},
      {"source_url", item.source_url},
      {"notes", item.notes},
      {"associated_bots", comma_joined(item.associated_bots)},
      {"associated_errors", comma_joined(item.associated_errors)},
      {"performance_data", item.performance_data},
      {"timestamp", item.timestamp},
      {"energy", item.energy},
      {"corroboration_count", item.corroboration_count}};
  const std::int64_t id = insert("info", row, {}, report, [&](std::int64_t item_id) {
    if (has_table("info_fts")) {
      connection()
          .prepare("INSERT INTO info_fts(rowid, title, tags, content) VALUES (?1, ?2, ?3, ?4)")
          .run(item_id, std::string_view(item.title), std::string_view(tags),
               std::string_view(item.content));
    }
    for (const std::int64_t workflow : links.workflows) link_workflow(item_id, workflow);
    for (const std::int64_t enhancement : links.enhancements)
      link_enhancement(item_id, enhancement);
    for (const std::int64_t bot : links.bots) link_bot(item_id, bot);
  });
  embed_row(id, report);
  return id;
}

void InfoDB::update(std::int64_t id, const Fields& fields, AddReport* report) {
  SeedStore::update("info", id, fields, {});
  if (has_table("info_fts")) {
    Transaction transaction(connection());
    connection().prepare("DELETE FROM info_fts WHERE rowid = ?1").run(id);
    connection()
        .prepare(
            "INSERT INTO info_fts(rowid, title, tags, content) "
            "SELECT id, title, tags, content FROM info WHERE id = ?1")
        .run(id);
    transaction.commit();
  }
  embed_row(id, report);
}

std::vector<ResearchItem> InfoDB::search(const std::string& term) const {
  const std::string expression = prefix_expression(term);
  if (!expression.empty() && has_table("info_fts")) {
    const auto found = rows(
        "SELECT info.* FROM info_fts JOIN info ON info.id = info_fts.rowid WHERE info_fts MATCH ?1 "
        "ORDER BY rank, info.id",
        {expression});
    if (!found.empty()) return items_of(found);
  }
  return items_of(
      rows("SELECT * FROM info WHERE instr(lower(title), lower(?1)) > 0 OR instr(lower(tags), "
           "lower(?1)) > 0 ORDER BY id",
           {term}));
}

std::vector<ResearchItem> InfoDB::items_for_model(std::int64_t model_id) const {
  return items_of(rows("SELECT * FROM info WHERE model_id = ?1 ORDER BY id", {model_id}));
}

void InfoDB::link_workflow(std::int64_t id, std::int64_t workflow_id) {
  link("info_workflows", {{"info_id", id}, {"workflow_id", workflow_id}});
}

void InfoDB::link_enhancement(std::int64_t id, std::int64_t enhancement_id) {
  link("info_enhancements", {{"info_id", id}, {"enhancement_id", enhancement_id}});
}

void InfoDB::link_bot(std::int64_t id, std::int64_t bot_id) {
  link("info_bots", {{"info_id", id}, {"bot_id", bot_id}});
}

std::vector<std::int64_t> InfoDB::workflows_for(std::int64_t id) const {
  return linked("info_workflows", "info_id", id, "workflow_id");
}

std::vector<std::int64_t> InfoDB::enhancements_for(std::int64_t id) const {
  return linked("info_enhancements", "info_id", id, "enhancement_id");
}

std::vector<std::int64_t> InfoDB::bots_for(std::int64_t id) const {
  return linked("info_bots", "info_id", id, "bot_id");
}

std::vector<ResearchItem> InfoDB::search_by_vector(std::span<const float> vector,
                                                   std::size_t top_k) const {
  return items_of(found_records(vector, top_k));
}

std::string InfoDB::text(const Record& record) const {
  std::vector<std::string> columns;
  for (const auto& [name, value] : record.fields()) {
    if (name != "id") columns.push_back(name);
  }
  return flattened(record, columns, {"tags", "associated_bots", "associated_errors", "categories"});
}

}  // namespace nearlite
