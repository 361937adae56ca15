#include "nearlite/databases/schema.h"

#include <algorithm>
#include <set>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite {
namespace {

constexpr int kHiddenColumn = 1;  // of a virtual table; 2 and 3 are generated columns

TableKind kind_of(std::string_view type) {
  if (type == "view") return TableKind::kView;
  if (type == "virtual") return TableKind::kVirtual;
  if (type == "shadow") return TableKind::kShadow;
  return TableKind::kTable;
}

std::vector<ColumnSchema> read_columns(const Connection& db, const std::string& table) {
  std::vector<ColumnSchema> columns;
  Statement select =
      db.prepare("SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, 'main')");
  select.bind(1, std::string_view(table));
  while (select.step()) {
    const std::int64_t hidden = select.int64(4);
    if (hidden == kHiddenColumn) continue;
    columns.push_back({.name = std::string(select.text(0)),
                       .declared_type = std::string(select.text(1)),
                       .primary_key = static_cast<int>(select.int64(3)),
                       .not_null = select.int64(2) != 0,
                       .generated = hidden != 0});
  }
  return columns;
}

bool is_internal(std::string_view table) { return to_lower_ascii(table).starts_with("sqlite_"); }

/// "no such module: rtree" -> what is missing, as an error of ours.
[[noreturn]] void throw_unreadable(const std::string& table, const StoreError& error) {
  const std::string_view what = error.what();
  for (const std::string_view missing :
       {"no such module", "no such collation", "no such function", "no such table"}) {
    if (what.find(missing) == std::string_view::npos) continue;
    throw NotFound("cannot read \"" + table + "\": " + std::string(what),
                   "its own program loads an extension for it; nearlite loads none");
  }
  throw error;
}

bool same_columns(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto lowered = [](const std::vector<std::string>& names) {
    std::set<std::string> set;
    for (const std::string& name : names) set.insert(to_lower_ascii(name));
    return set;
  };
  return lowered(a) == lowered(b);
}

bool has_unique_index(const Connection& db, const TableSchema& table,
                      const std::vector<std::string>& columns) {
  Statement indexes = db.prepare(
      "SELECT name FROM pragma_index_list(?1, 'main') WHERE \"unique\" = 1 AND partial = 0");
  indexes.bind(1, std::string_view(table.name));
  while (indexes.step()) {
    const std::string index(indexes.text(0));
    std::vector<std::string> indexed;
    Statement parts = db.prepare("SELECT name FROM pragma_index_info(?1, 'main')");
    parts.bind(1, std::string_view(index));
    while (parts.step()) indexed.emplace_back(parts.text(0));
    if (same_columns(indexed, columns)) return true;
  }
  return false;
}

bool guaranteed_unique(const Connection& db, const TableSchema& table,
                       const std::vector<std::string>& columns) {
  if (table.kind == TableKind::kView) return false;
  return same_columns(table.primary_key(), columns) || has_unique_index(db, table, columns);
}

/// An old quirk that SQLite keeps: a PRIMARY KEY that is not INTEGER may hold NULL, and several.
bool holds_null(const Connection& db, const TableSchema& table, const std::string& column) {
  if (table.without_rowid || table.column(column)->not_null) return false;
  return db
      .prepare("SELECT 1 FROM " + quote_identifier(table.name) + " WHERE " +
               quote_identifier(column) + " IS NULL LIMIT 1")
      .step();
}

bool named_like_an_id(const std::string& column) {
  const std::string lower = to_lower_ascii(column);
  return lower == "id" || lower == "rowid" || lower == "key" || lower == "uuid" ||
         lower == "guid" || lower.ends_with("_id") || lower.ends_with("_key") ||
         lower.ends_with("_uuid") || (lower.size() > 2 && column.ends_with("Id")) ||
         column.ends_with("ID");
}

TableKey key_of_view(const Connection& db, const TableSchema& view) {
  std::vector<std::string> candidates;
  for (const ColumnSchema& column : view.columns) {
    if (to_lower_ascii(column.name) == "id") candidates.insert(candidates.begin(), column.name);
    if (to_lower_ascii(column.name) != "id" && named_like_an_id(column.name)) {
      candidates.push_back(column.name);
    }
  }
  for (const std::string& column : candidates) {
    const std::string quoted = quote_identifier(column);
    Statement select = db.prepare(
        "SELECT count(*) = count(DISTINCT k) "
        "FROM (SELECT " +
        quoted + " AS k FROM " + quote_identifier(view.name) + " LIMIT 1000)");
    if (select.step() && select.int64(0) != 0) return {.columns = {column}};
  }
  throw InvalidArgument(
      "the view \"" + view.name +
          "\" has no column that is named like an id and differs in each row, so its rows cannot "
          "be told apart; its columns: " +
          join_names(view.column_names()),
      "name the key: key = [\"...\"] in nearlite.toml, or --key COLUMN");
}

TableKey asked_key(const Connection& db, const TableSchema& table,
                   const std::vector<std::string>& asked) {
  TableKey key;
  const std::optional<std::string> rowid = table.rowid_name();
  for (const std::string& name : asked) {
    if (const ColumnSchema* column = table.column(name)) {
      key.columns.push_back(column->name);
      continue;
    }
    const std::string lower = to_lower_ascii(name);
    const bool is_rowid = lower == "rowid" || lower == "_rowid_" || lower == "oid";
    if (is_rowid && rowid && asked.size() == 1 && table.kind != TableKind::kView) {
      return {.columns = {*rowid}, .bare_rowid = !table.integer_primary_key(), .proven = true};
    }
    const std::vector<std::string> names = table.column_names();
    const auto near = nearest_name(name, names);
    throw NotFound("\"" + table.name + "\" has no key column \"" + name + "\"" +
                   (near ? "; did you mean \"" + *near + "\"?" : "") +
                   " Its columns: " + join_names(names));
  }
  key.proven = guaranteed_unique(db, table, key.columns);
  return key;
}

/// Keys are read in their order, so the collations of their columns must be there.
void check_collations(const Connection& db, const TableSchema& table, const TableKey& key) {
  std::string order;
  for (const std::string& name : key.columns) {
    const bool rowid = table.column(name) == nullptr;
    order += (order.empty() ? "" : ", ") + (rowid ? name : quote_identifier(name));
  }
  try {
    db.prepare("SELECT 1 FROM " + quote_identifier(table.name) + " ORDER BY " + order + " LIMIT 0");
  } catch (const StoreError& error) {
    if (!table.rowid_name() || key.bare_rowid) throw_unreadable(table.name, error);
    throw NotFound(
        "the key " + join_names(key.columns) + " of \"" + table.name +
            "\" cannot be read: " + error.what(),
        "use the rowid: key = [\"" + *table.rowid_name() + "\"], or --key " + *table.rowid_name());
  }
}

TableKey find_key(const Connection& db, const TableSchema& table,
                  const std::vector<std::string>& asked) {
  if (!asked.empty()) return asked_key(db, table, asked);
  if (table.kind == TableKind::kView) return key_of_view(db, table);
  const std::vector<std::string> primary = table.primary_key();
  const std::optional<std::string> rowid = table.rowid_name();
  const bool usable = !primary.empty() && (primary.size() > 1 || table.integer_primary_key() ||
                                           !holds_null(db, table, primary[0]));
  if (usable) return {.columns = primary, .proven = true};
  if (rowid) return {.columns = {*rowid}, .bare_rowid = true, .proven = true};
  throw InvalidArgument("the rows of \"" + table.name +
                            "\" have no key: columns of its own hide rowid, _rowid_ and oid",
                        "name columns that differ in each row: key = [\"...\"], or --key COLUMN");
}

}  // namespace

const ColumnSchema* TableSchema::column(std::string_view column_name) const {
  const std::string wanted = to_lower_ascii(column_name);
  for (const ColumnSchema& candidate : columns) {
    if (to_lower_ascii(candidate.name) == wanted) return &candidate;
  }
  return nullptr;
}

std::vector<std::string> TableSchema::column_names() const {
  std::vector<std::string> names;
  for (const ColumnSchema& column : columns) names.push_back(column.name);
  return names;
}

std::vector<std::string> TableSchema::primary_key() const {
  std::vector<const ColumnSchema*> parts;
  for (const ColumnSchema& column : columns) {
    if (column.primary_key > 0) parts.push_back(&column);
  }
  std::sort(parts.begin(), parts.end(),
            [](const auto* a, const auto* b) { return a->primary_key < b->primary_key; });
  std::vector<std::string> names;
  for (const ColumnSchema* part : parts) names.push_back(part->name);
  return names;
}

bool TableSchema::integer_primary_key() const {
  const std::vector<std::string> key = primary_key();
  return kind == TableKind::kTable && !without_rowid && key.size() == 1 &&
         to_lower_ascii(column(key[0])->declared_type) == "integer";
}

std::optional<std::string> TableSchema::rowid_name() const {
  if (kind == TableKind::kView || without_rowid) return std::nullopt;
  for (const char* candidate : {"rowid", "_rowid_", "oid"}) {
    if (column(candidate) == nullptr) return candidate;
  }
  return std::nullopt;
}

std::vector<TableSchema> read_schema(const Connection& db) {
  std::vector<TableSchema> tables;
  Statement select = db.prepare(
      "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name");
  while (select.step()) {
    TableSchema table;
    table.name = select.text(0);
    if (is_internal(table.name)) continue;
    table.kind = kind_of(select.text(1));
    table.without_rowid = select.int64(2) != 0;
    try {
      table.columns = read_columns(db, table.name);
    } catch (const StoreError&) {
      table.columns.clear();  // a missing module or a broken view: listed without columns
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

TableSchema read_table(const Connection& db, const std::string& table) {
  if (is_internal(table)) {
    throw InvalidArgument("\"" + table + "\" belongs to SQLite itself and is never embedded");
  }
  Statement select = db.prepare(
      "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE "
      "NOCASE");
  select.bind(1, std::string_view(table));
  if (!select.step()) {
    std::vector<std::string> names;
    for (const TableSchema& known : read_schema(db)) {
      if (known.kind != TableKind::kShadow) names.push_back(known.name);
    }
    if (names.empty()) throw NotFound("the database has no tables");
    const auto near = nearest_name(table, names);
    throw NotFound("there is no table \"" + table + "\"" +
                   (near ? "; did you mean \"" + *near + "\"?" : ".") +
                   " Tables: " + join_names(names));
  }
  TableSchema found;
  found.name = select.text(0);
  found.kind = kind_of(select.text(1));
  found.without_rowid = select.int64(2) != 0;
  if (found.kind == TableKind::kShadow) {
    throw InvalidArgument("\"" + found.name +
                          "\" holds the inner data of a virtual table and is not embedded; name "
                          "the virtual table itself");
  }
  try {
    found.columns = read_columns(db, found.name);
    // A view is compiled only when it is used: find out now what it lacks.
    db.prepare("SELECT * FROM " + quote_identifier(found.name) + " LIMIT 0");
  } catch (const StoreError& error) {
    throw_unreadable(found.name, error);
  }
  return found;
}

TableKey key_of(const Connection& db, const TableSchema& table,
                const std::vector<std::string>& asked) {
  TableKey key = find_key(db, table, asked);
  check_collations(db, table, key);
  return key;
}

std::string known_column(const TableSchema& table, const std::string& name) {
  if (const ColumnSchema* column = table.column(name)) return column->name;
  const std::vector<std::string> names = table.column_names();
  const auto near = nearest_name(name, names);
  throw NotFound("\"" + table.name + "\" has no column \"" + name + "\"" +
                 (near ? "; did you mean \"" + *near + "\"?" : ".") +
                 " Its columns: " + join_names(names));
}

}  // namespace nearlite
