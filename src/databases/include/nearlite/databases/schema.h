#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/store/connection.h"

namespace nearlite {

struct ColumnSchema {
  std::string name{};
  std::string declared_type{};  // as written: "VARCHAR(20)", "", ...
  int primary_key = 0;          // position in the primary key, from 1; 0: not part of it
  bool not_null = false;
  bool generated = false;
};

enum class TableKind { kTable, kView, kVirtual, kShadow };

/// One table or view of a database, as SQLite describes it.
struct TableSchema {
  std::string name{};
  TableKind kind = TableKind::kTable;
  bool without_rowid = false;
  std::vector<ColumnSchema> columns{};

  /// The column of that name (ASCII case ignored, as SQLite does), or nothing.
  const ColumnSchema* column(std::string_view column_name) const;
  std::vector<std::string> column_names() const;
  /// The columns of the primary key in key order; empty if none is declared.
  std::vector<std::string> primary_key() const;
  /// True if the only key column is declared INTEGER and is the rowid itself.
  bool integer_primary_key() const;
  /// "rowid", "_rowid_" or "oid", whichever no column hides; nothing for a view, a WITHOUT ROWID
  /// table, or if all three are hidden.
  std::optional<std::string> rowid_name() const;
};

/// All tables and views in the main schema, shadow tables and sqlite_* left out or not, by name. A
/// view or virtual table whose columns SQLite cannot tell (missing module, broken view) has no
/// columns.
std::vector<TableSchema> read_schema(const Connection& db);
/// One table or view. Throws NotFound with the nearest name and the list, or what SQLite says is
/// missing (module, collation); InvalidArgument for sqlite_* and shadow tables.
TableSchema read_table(const Connection& db, const std::string& table);

/// A column `name` as the database spells it. Throws NotFound with the nearest column and the list.
std::string known_column(const TableSchema& table, const std::string& name);

/// What identifies each row of a table: the columns asked for, or else the primary key, or else the
/// rowid; for a view a column that holds unique, not NULL values in its first 1,000 rows and is
/// named like an id.
struct TableKey {
  std::vector<std::string> columns{};
  bool bare_rowid = false;  // VACUUM renumbers such keys
  bool proven = false;      // the schema guarantees that it is unique
};
/// Throws NotFound for an unknown column, InvalidArgument with an explanation if there is no key.
TableKey key_of(const Connection& db, const TableSchema& table,
                const std::vector<std::string>& asked);

}  // namespace nearlite
