#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/databases/store.h"

namespace nearlite {

enum class FilterOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kLike };

/// "=", "!=", "<", "<=", ">", ">=", "in", "like". Throws InvalidArgument that lists them.
FilterOp filter_op_of(std::string_view name);

/// One condition of a caller that may not write SQL: `{"field", "op", "value"}` of HTTP and MCP.
struct FieldFilter {
  std::string field{};
  FilterOp op = FilterOp::kEqual;
  /// kIn: any number of values. kLike: one text with % and _. Others: one value; NULL only with
  /// kEqual and kNotEqual, where it asks whether the field is NULL.
  std::vector<Value> values{};
};

/// The filters of one question, all of which have to hold, as an SQL condition for this store.
/// Values are compared with the affinity of the column, as SQLite compares literals; nothing of
/// them is read as SQL. "" for no filters. Throws NotFound for a field that the store does not
/// expose (Store::shown_fields), with the nearest one; InvalidArgument for a wrong number or kind
/// of values.
std::string filter_condition(const Store& store, std::span<const FieldFilter> filters);

/// The keys that pass `where` (SQL of a trusted caller, "" for all) and every filter: what a search
/// is restricted to. Read once, through a read-only connection of its own and within 30 s. Empty
/// function: all keys pass. Throws as filter_condition and Store::keys_matching.
std::function<bool(const RecordKey&)> keys_passing(const Store& store, const std::string& where,
                                                   std::span<const FieldFilter> filters);

}  // namespace nearlite
