#include "nearlite/databases/seed_store.h"

#include <sqlite3.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <ctime>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/governance/rule_gate.h"
#include "seed_traits.h"
#include "sql_condition.h"
#include "vector_text.h"

namespace nearlite {
namespace {

std::shared_ptr<Connection> open_file(const std::filesystem::path& database, Open open,
                                      const std::string& name) {
  if (open == Open::kExisting && !stamp_of(database)) {
    throw NotFound("there is no " + database.string(),
                   "nearlite store create " + name + " makes an empty one");
  }
  std::error_code exists;
  if (open == Open::kCreate && database.has_parent_path()) {
    std::filesystem::create_directories(database.parent_path(), exists);
  }
  return std::make_shared<Connection>(Connection::open(database, open == Open::kCreate));
}

void create_schema(Connection& db, const std::vector<std::string>& schema) {
  db.execute("PRAGMA journal_mode = WAL");
  Transaction transaction(db);
  for (const std::string& statement : schema) db.execute(statement);
  transaction.commit();
}

std::set<std::string> table_names(const Connection& db) {
  std::set<std::string> names;
  Statement select = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'");
  while (select.step()) names.emplace(select.text(0));
  return names;
}

void bind_all(Statement& statement, const std::vector<Value>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    statement.bind(static_cast<int>(i) + 1, values[i]);
  }
}

Record record_of(const Statement& row) {
  Record record;
  for (int i = 0; i < row.num_columns(); ++i) record.set(row.column_name(i), row.value(i));
  return record;
}

/// INSERT [OR IGNORE] INTO table(columns) VALUES (?, ?, ...)
void insert_row(const Connection& db, const std::string& verb, const std::string& table,
                const Fields& row) {
  std::string columns;
  std::string marks;
  for (const auto& [name, value] : row) {
    columns += (columns.empty() ? "" : ", ") + quote_identifier(name);
    marks += marks.empty() ? "?" : ", ?";
  }
  Statement insert = db.prepare(verb + " INTO " + quote_identifier(table) + "(" + columns +
                                ") VALUES (" + marks + ")");
  for (std::size_t i = 0; i < row.size(); ++i) {
    insert.bind(static_cast<int>(i) + 1, row[i].second);
  }
  insert.run();
}

/// The six are checked by every rule unless somebody says otherwise.
EmbeddableOptions governed(EmbeddableOptions options) {
  if (!options.gate) options.gate = builtin_gate(GateLevel::kFull);
  return options;
}

}  // namespace

SeedStore::SeedStore(const Traits& traits, const std::filesystem::path& database,
                     SeedStoreOptions seed, EmbeddableOptions options)
    : Store(open_file(database, seed.open, traits.name), governed(std::move(options)), database),
      traits_(traits),
      seed_(std::move(seed)) {
  Connection& db = connection();
  if (seed_.open == Open::kCreate) create_schema(db, traits_.schema);
  db.execute("PRAGMA synchronous = NORMAL");
  look_at_tables();
  const std::string& first = traits_.sources.front().table;
  if (!tables_.contains(first)) {
    throw NotFound(database.string() + " has no table \"" + first + "\"",
                   "nearlite store create " + traits_.name + " adds what is missing");
  }
}

/// Those of the class that the file has.
void SeedStore::add_sources() {
  sources_.clear();
  for (const Traits::Source& source : traits_.sources) {
    if (!tables_.contains(source.table)) continue;
    sources_.push_back(
        {read_table(connection(), source.table), source.key_column, source.key_space});
  }
}

void SeedStore::need_table(const std::string& table) {
  if (has_table(table)) return;
  const std::string start = "CREATE TABLE IF NOT EXISTS " + table + "(";
  for (const std::string& statement : traits_.schema) {
    if (!statement.starts_with(start)) continue;
    connection().execute(statement);
  }
  // Inside a transaction it counts once that is committed.
  if (sqlite3_get_autocommit(connection().handle()) == 0) {
    tables_changed_ = true;
  } else {
    look_at_tables();
  }
}

void SeedStore::look_at_tables() {
  tables_ = table_names(connection());
  tables_changed_ = false;
  add_sources();
}

std::vector<float> SeedStore::vector_of(const RecordKey& key) const {
  if (auto stored = get_vector(key)) return std::move(*stored);
  const auto row = iter_records().find(key);
  if (!row) throw NotFound("\"" + traits_.name + "\" has no row " + key.display());
  const GateDecision decision = options().gate->check(text(row->record));
  if (decision.action > GateAction::kRedact) return {};
  const std::string now = decision.text.empty() ? text(row->record) : decision.text;
  if (trimmed(now).empty()) return {};
  const std::string_view view = now;
  return encoder().encode(std::span(&view, 1), TextRole::kDocument).vectors;
}

EmbeddableOptions SeedStore::options_in(const Traits& traits, const std::filesystem::path& folder) {
  EmbeddableOptions options;
  options.index_path = folder / traits.index_file;
  options.metadata_path = folder / traits.metadata_file;
  options.store_name = traits.name;
  options.text_template = traits.text_template;
  return options;
}

std::string SeedStore::name() const { return traits_.name; }
std::string SeedStore::class_name() const { return traits_.class_name; }
std::string SeedStore::origin() const { return traits_.origin; }
std::vector<std::string> SeedStore::shown_fields() const { return traits_.shown; }

RecordCursor SeedStore::iter_records() const {
  std::vector<RecordCursor> cursors;
  for (const SourceTable& source : sources_) {
    std::vector<std::string> columns{source.key_column};
    for (const ColumnSchema& column : source.schema.columns) {
      if (column.name != source.key_column) columns.push_back(column.name);
    }
    cursors.push_back(query("SELECT " + select_list(source.schema, columns) + " FROM " +
                                quote_identifier(source.schema.name),
                            {.kind = traits_.kind, .table = source.key_space}));
  }
  if (cursors.size() == 1) return std::move(cursors.front());
  return RecordCursor::chain(std::move(cursors));
}

std::function<bool(const RecordKey&)> SeedStore::keys_matching(const std::string& where) const {
  std::vector<ConditionSource> sources;
  for (const SourceTable& source : sources_) {
    sources.push_back({source.schema, {source.key_column}, source.key_space});
  }
  return keys_where(database_path(), sources, where);
}

Record SeedStore::read_fields(const RecordKey& key, const std::vector<std::string>& columns) const {
  for (const SourceTable& source : sources_) {
    if (source.key_space != key.table) continue;
    return read_row_fields(connection(), source.schema, {source.key_column}, key, columns);
  }
  return {};
}

std::string SeedStore::now() const {
  const auto time = (options().clock != nullptr ? *options().clock : system_clock()).now();
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(micros / 1'000'000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06" PRId64, utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<std::int64_t>(micros % 1'000'000));
  return text;
}

std::int64_t SeedStore::insert(const std::string& table, Fields row,
                               const std::vector<std::string>& hashed, AddReport* report,
                               const std::function<void(std::int64_t id)>& insert_links) {
  need_table(table);
  Connection& db = connection();
  Transaction transaction(db);
  if (!hashed.empty()) {
    const std::string hash = content_hash(row, hashed);
    Statement same =
        db.prepare("SELECT id FROM " + quote_identifier(table) + " WHERE content_hash = ?1");
    same.bind(1, std::string_view(hash));
    if (same.step()) {
      if (report != nullptr) report->duplicate = true;
      return same.int64(0);
    }
    row.emplace_back("content_hash", hash);
  }
  insert_row(db, "INSERT", table, row);
  const std::int64_t id = db.last_insert_rowid();
  if (insert_links) insert_links(id);
  transaction.commit();
  if (tables_changed_) look_at_tables();
  return id;
}

void SeedStore::update(const std::string& table, std::int64_t id, const Fields& fields,
                       const std::vector<std::string>& hashed) {
  Connection& db = connection();
  const TableSchema schema = read_table(db, table);
  const std::string key = schema.primary_key().front();
  std::string assignments;
  std::vector<Value> values;
  for (const auto& [name, value] : fields) {
    const std::string column = known_column(schema, name);
    if (column == key || column == "content_hash") {
      throw InvalidArgument("the column \"" + column + "\" of \"" + table + "\" cannot be set");
    }
    assignments += (assignments.empty() ? "" : ", ") + quote_identifier(column) + " = ?";
    values.push_back(value);
  }
  if (values.empty()) return;
  const std::string this_row = " WHERE " + quote_identifier(key) + " = ?";
  values.emplace_back(id);
  Transaction transaction(db);
  Statement change =
      db.prepare("UPDATE " + quote_identifier(table) + " SET " + assignments + this_row);
  bind_all(change, values);
  change.run();
  if (db.changes() == 0) {
    throw NotFound("\"" + table + "\" has no row " + std::to_string(id));
  }
  if (!hashed.empty()) {
    const Record row = rows("SELECT * FROM " + quote_identifier(table) + this_row, {id}).front();
    const std::string hash = content_hash({row.fields().begin(), row.fields().end()}, hashed);
    const auto same =
        rows("SELECT id FROM " + quote_identifier(table) + " WHERE content_hash = ? AND id <> ?",
             {hash, id});
    if (!same.empty()) {
      throw InvalidArgument("row " + std::to_string(id) + " of \"" + table +
                            "\" would become equal to row " + same.front().get("id"));
    }
    db.prepare("UPDATE " + quote_identifier(table) + " SET content_hash = ? " + this_row)
        .run(std::string_view(hash), id);
  }
  transaction.commit();
}

void SeedStore::embed_row(const RecordKey& key, AddReport* report) {
  std::string reason = "left to the next backfill";
  bool embedded = false;
  if (seed_.embed_on_add) {
    try {
      RecordCursor records = iter_records();
      const std::optional<SourceRecord> row = records.find(key);
      reason = "its row is gone";
      embedded = row && add_embedding(key, row->record, row->kind, key.display(), &reason);
    } catch (const Error& error) {
      reason = error.what();  // the row is safe: the next backfill embeds it
    }
  }
  if (report == nullptr) return;
  report->embedded = embedded;
  report->not_embedded_because = embedded ? std::string() : reason;
}

void SeedStore::link(const std::string& table, const Fields& row) {
  need_table(table);
  std::string condition;
  std::vector<Value> values;
  for (const auto& [name, value] : row) {
    condition += (condition.empty() ? "" : " AND ") + quote_identifier(name) + " IS ?";
    values.push_back(value);
  }
  if (!rows("SELECT 1 FROM " + quote_identifier(table) + " WHERE " + condition, values).empty()) {
    return;  // link tables have no key of their own
  }
  insert_row(connection(), "INSERT", table, row);
}

std::vector<std::int64_t> SeedStore::linked(const std::string& table,
                                            const std::string& where_column, std::int64_t id,
                                            const std::string& column) const {
  std::vector<std::int64_t> ids;
  if (!has_table(table)) return ids;  // a file of the original may lack it
  Statement select = connection().prepare("SELECT " + quote_identifier(column) + " FROM " +
                                          quote_identifier(table) + " WHERE " +
                                          quote_identifier(where_column) + " = ?1 ORDER BY 1");
  select.bind(1, id);
  while (select.step()) ids.push_back(select.int64(0));
  return ids;
}

std::vector<Record> SeedStore::rows(const std::string& sql,
                                    const std::vector<Value>& parameters) const {
  std::vector<Record> found;
  Statement select = connection().prepare(sql);
  bind_all(select, parameters);
  while (select.step()) found.push_back(record_of(select));
  return found;
}

std::string SeedStore::scope_condition(Scope scope) {
  switch (scope) {
    case Scope::kLocal:
      return "source_menace_id = ?1";
    case Scope::kGlobal:
      return "source_menace_id <> ?1";
    case Scope::kAll:
      break;
  }
  return "?1 IS NOT NULL";  // the parameter is there in each case
}

std::vector<Record> SeedStore::found_records(std::span<const float> vector, std::size_t top_k,
                                             Scope scope) const {
  RecordSearchOptions wanted{.k = top_k};
  std::set<RecordKey> in_scope;
  if (scope != Scope::kAll) {
    for (const SourceTable& source : sources_) {
      // What has no column of this sort (info, known_errors) belongs to nobody.
      const auto& columns = source.schema.columns;
      const bool scoped = std::ranges::any_of(
          columns, [](const auto& column) { return column.name == "source_menace_id"; });
      for (const Record& row :
           rows("SELECT " + quote_identifier(source.key_column) + " AS id FROM " +
                    quote_identifier(source.schema.name) + " WHERE " +
                    (scoped ? scope_condition(scope) : "?1 IS NOT NULL"),
                {source_menace_id()})) {
        in_scope.insert(RecordKey::of(std::vector<Value>{*row.find("id")}, source.key_space));
      }
    }
    wanted.filter = [&](const RecordKey& key) { return in_scope.contains(key); };
  }
  const RecordSearchResult result = search_records(vector, wanted);
  std::vector<Record> records;
  for (const RecordHit& hit : result.hits) {
    Record record = hit.record;
    if (!hit.key.table.empty()) record.set("_table", hit.key.table);
    record.set("_distance", static_cast<double>(hit.distance));
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace nearlite
