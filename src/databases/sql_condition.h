#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "nearlite/databases/schema.h"
#include "nearlite/embeddable/record.h"

namespace nearlite {

/// Throws InvalidArgument unless `where` is one SQL expression that reads only (no second
/// statement, no parameter, no recursive query, no extension loading); NotFound for an unknown
/// column, with the nearest one and the list.
void check_condition(const Connection& db, const TableSchema& table, const std::string& where);

/// The columns as a SELECT list: quoted, each with its own name; a rowid that is no declared column
/// stays bare, since in quotes it could be taken for a string.
std::string select_list(const TableSchema& table, const std::vector<std::string>& columns);

/// Where to look for the keys of rows that a condition selects.
struct ConditionSource {
  TableSchema table;
  std::vector<std::string> key;
  std::string key_space;  // RecordKey::table
};

/// The keys of the rows for which the condition holds, read once through a connection of its own. A
/// source whose table the condition does not fit is passed over as long as it fits another one.
/// Throws as check_condition; Unavailable when the time is over.
std::function<bool(const RecordKey&)> keys_where(
    const std::filesystem::path& database, const std::vector<ConditionSource>& sources,
    const std::string& where, std::chrono::milliseconds limit = std::chrono::seconds(30));

/// `columns` of the row with this key; empty if there is none. Throws NotFound for an unknown
/// column.
Record read_row_fields(const Connection& db, const TableSchema& table,
                       const std::vector<std::string>& key_columns, const RecordKey& key,
                       const std::vector<std::string>& columns);

}  // namespace nearlite
