#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nearlite/embeddable/record.h"

namespace nearlite {

/// How the seed stores keep lists, hash rows and put the texts together that they embed (reference
/// §3).

/// A value as a number; 0 for NULL and text that is none.
std::int64_t integer_of(const Value& value);
double real_of(const Value& value);

/// Code points of UTF-8.
std::size_t num_characters(std::string_view text);
std::string trimmed(std::string_view text);
/// Cut at whitespace that follows . ! or ?, trimmed, empty ones dropped.
std::vector<std::string> sentences_of(std::string_view text);
std::vector<std::string> lines_of(std::string_view text);
/// a,b -> {a, b}; trimmed, empty ones dropped.
std::vector<std::string> comma_list(std::string_view text);
std::string comma_joined(const std::vector<std::string>& items);
/// Joins by a space what is there, each piece once (case ignored).
std::string joined_once(const std::vector<std::string>& pieces);

/// JSON text with separators ", " and ": " and ASCII escapes, as the original wrote it.
std::string json_list(const std::vector<std::string>& items);
std::string json_map(const std::map<std::string, std::string>& map);
std::string json_counts(const std::map<std::string, std::int64_t>& counts);
/// The strings of a JSON list; text that is none is one item. Other values of a list as their JSON
/// text.
std::vector<std::string> list_of_json(const std::string& text);
std::map<std::string, std::string> map_of_json(const std::string& text);

/// SHA-256 hex of the JSON object of these columns, keys sorted (reference §3.1). NULL is null.
std::string content_hash(const std::vector<std::pair<std::string, Value>>& row,
                         const std::vector<std::string>& columns);

/// name=value pairs in order, joined by spaces: lists repeat the name, JSON objects have dotted
/// names, empty values are left out. `lists`: columns of comma-joined text.
std::string flattened(const Record& record, const std::vector<std::string>& columns,
                      const std::vector<std::string>& lists);

/// The unified diff of two texts with `context` lines around changes and empty file names; empty if
/// they are equal.
std::string unified_diff(std::string_view before, std::string_view after, std::size_t context = 3);

}  // namespace nearlite
