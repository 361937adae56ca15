#include "nearlite/retrieval/filter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

struct OpName {
  std::string_view name;
  FilterOp op;
  std::string_view sql;
};
constexpr std::array kOps = {
    OpName{"=", FilterOp::kEqual, "="},   OpName{"!=", FilterOp::kNotEqual, "<>"},
    OpName{"<", FilterOp::kLess, "<"},    OpName{"<=", FilterOp::kLessEqual, "<="},
    OpName{">", FilterOp::kGreater, ">"}, OpName{">=", FilterOp::kGreaterEqual, ">="},
    OpName{"in", FilterOp::kIn, "IN"},    OpName{"like", FilterOp::kLike, "LIKE"}};

const OpName& named(FilterOp op) { return *std::ranges::find(kOps, op, &OpName::op); }

std::string text_literal(const FieldFilter& filter, const std::string& text) {
  if (text.find('\0') != std::string::npos || find_invalid_utf8(text)) {
    throw InvalidArgument("the value for field \"" + filter.field +
                          "\" holds a NUL byte or is not valid UTF-8");
  }
  std::string literal = "'";
  for (const char c : text) {
    if (c == '\'') literal += '\'';
    literal += c;
  }
  return literal + "'";
}

/// The value as an SQL literal that means just it.
std::string literal_of(const FieldFilter& filter, const Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    // The most negative integer has no literal of its own: its digits alone are too large.
    if (*number == std::numeric_limits<std::int64_t>::min()) return "(-9223372036854775807 - 1)";
    return std::to_string(*number);
  }
  if (const auto* real = std::get_if<double>(&value)) {
    if (!std::isfinite(*real))
      throw InvalidArgument("the value for field \"" + filter.field + "\" is not finite");
    std::array<char, 40> digits{};
    std::snprintf(digits.data(), digits.size(), "%.17e", *real);
    return digits.data();
  }
  if (const auto* text = std::get_if<std::string>(&value)) return text_literal(filter, *text);
  throw InvalidArgument("the value for field \"" + filter.field +
                        "\" is neither a number nor a text");
}

/// Bare, if it names a rowid that is no declared column: in quotes a view would take it for a text.
std::string column_of(const std::string& field) {
  const std::string lower = to_lower_ascii(field);
  const bool rowid = lower == "rowid" || lower == "oid" || lower == "_rowid_";
  return rowid ? field : quote_identifier(field);
}

std::string exposed_field(const Store& store, const std::string& wanted) {
  const std::vector<std::string> exposed = store.shown_fields();
  if (std::ranges::find(exposed, wanted) != exposed.end()) return wanted;
  const auto same = std::ranges::find(exposed, to_lower_ascii(wanted),
                                      [](const std::string& name) { return to_lower_ascii(name); });
  if (same != exposed.end()) return *same;
  const auto near = nearest_name(wanted, exposed);
  throw NotFound("the store \"" + store.name() + "\" exposes no field \"" + wanted + "\"" +
                     (near ? "; did you mean \"" + *near + "\"?" : ""),
                 "it exposes " + join_names(exposed));
}

std::string condition_of(const Store& store, const FieldFilter& filter) {
  const std::string column = column_of(exposed_field(store, filter.field));
  const OpName& op = named(filter.op);
  if (filter.op == FilterOp::kIn) {
    std::string list;
    for (const Value& value : filter.values)
      list += (list.empty() ? "" : ", ") + literal_of(filter, value);
    return column + " IN (" + list + ")";
  }
  if (filter.values.size() != 1) {
    throw InvalidArgument("the filter on field \"" + filter.field + "\" has " +
                          std::to_string(filter.values.size()) + " values, " +
                          std::string(op.name) + " takes one");
  }
  const Value& value = filter.values.front();
  const bool equality = filter.op == FilterOp::kEqual || filter.op == FilterOp::kNotEqual;
  if (equality && std::holds_alternative<std::monostate>(value))
    return column + (filter.op == FilterOp::kEqual ? " IS NULL" : " IS NOT NULL");
  if (filter.op == FilterOp::kLike && !std::holds_alternative<std::string>(value))
    throw InvalidArgument("like on field \"" + filter.field + "\" takes a text");
  return column + " " + std::string(op.sql) + " " + literal_of(filter, value);
}

}  // namespace

FilterOp filter_op_of(std::string_view name) {
  const auto found = std::ranges::find(kOps, name, &OpName::name);
  if (found != kOps.end()) return found->op;
  throw InvalidArgument("there is no filter operator \"" + std::string(name) + "\"",
                        "one of = != < <= > >= in like");
}

std::string filter_condition(const Store& store, std::span<const FieldFilter> filters) {
  std::string condition;
  for (const FieldFilter& filter : filters)
    condition += (condition.empty() ? "(" : " AND (") + condition_of(store, filter) + ")";
  return condition;
}

std::function<bool(const RecordKey&)> keys_passing(const Store& store, const std::string& where,
                                                   std::span<const FieldFilter> filters) {
  std::function<bool(const RecordKey&)> by_sql;
  if (!where.empty()) by_sql = store.keys_matching(where);
  const std::string condition = filter_condition(store, filters);
  if (condition.empty()) return by_sql;
  auto by_field = store.keys_matching(condition);
  if (!by_sql) return by_field;
  return [by_sql = std::move(by_sql), by_field = std::move(by_field)](const RecordKey& key) {
    return by_field(key) && by_sql(key);
  };
}

}  // namespace nearlite
