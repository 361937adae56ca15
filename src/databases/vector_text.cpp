#include "vector_text.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "nearlite/base/checksum.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kBlanks = " \t\r\n\v\f";

bool is_blank(char c) { return kBlanks.find(c) != std::string_view::npos; }

void append_hex4(std::string& out, unsigned code) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) {
    out += kDigits[(code >> static_cast<unsigned>(shift)) & 15U];
  }
}

/// ASCII only; what is not valid UTF-8 keeps its bytes, so that different texts never become equal.
void append_string(std::string& out, std::string_view text) {
  constexpr std::string_view kNamed = "\b\f\n\r\t\"\\";
  constexpr std::string_view kLetters = "bfnrt\"\\";
  const std::size_t valid = find_invalid_utf8(text).value_or(text.size());
  out += '"';
  for (std::size_t at = 0; at < valid;) {
    const char32_t code = next_code_point(text, at);
    const std::size_t named = code < 128 ? kNamed.find(static_cast<char>(code)) : kNamed.npos;
    if (named != kNamed.npos) {
      out += '\\';
      out += kLetters[named];
    } else if (code >= 0x20 && code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x10000) {
      append_hex4(out, code);
    } else {
      append_hex4(out, 0xD800U + ((code - 0x10000U) >> 10));
      append_hex4(out, 0xDC00U + ((code - 0x10000U) & 0x3FFU));
    }
  }
  out += text.substr(valid);
  out += '"';
}

/// Blobs are part of no hash; numbers as SQLite shows them.
void append_value(std::string& out, const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    append_string(out, *text);
  } else if (std::holds_alternative<std::monostate>(value)) {
    out += "null";
  } else {
    out += text_of(value);
  }
}

void append_pair(std::string& text, const std::string& name, const std::string& value) {
  const std::string tidy = trimmed(value);
  if (tidy.empty()) return;
  if (!text.empty()) text += ' ';
  text += name + "=" + tidy;
}

void flatten_json(std::string& text, const std::string& name, const Json& json) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) flatten_json(text, name + "." + key, value);
  } else if (json.is_array()) {
    for (const Json& value : json) flatten_json(text, name, value);
  } else if (!json.is_null()) {
    append_pair(text, name, json.is_string() ? json.get<std::string>() : json.dump());
  }
}

}  // namespace

std::int64_t integer_of(const Value& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  if (const auto* real = std::get_if<double>(&value)) return static_cast<std::int64_t>(*real);
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? 0 : std::strtoll(text->c_str(), nullptr, 10);
}

double real_of(const Value& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? 0 : std::strtod(text->c_str(), nullptr);
}

std::size_t num_characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1));
}

std::vector<std::string> sentences_of(std::string_view text) {
  std::vector<std::string> sentences;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const bool ends =
        i == text.size() || (i > 0 && is_blank(text[i]) &&
                             std::string_view(".!?").find(text[i - 1]) != std::string_view::npos);
    if (!ends) continue;
    if (std::string sentence = trimmed(text.substr(begin, i - begin)); !sentence.empty()) {
      sentences.push_back(std::move(sentence));
    }
    begin = i;
  }
  return sentences;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> comma_list(std::string_view text) {
  std::vector<std::string> items;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    if (std::string item = trimmed(text.substr(at, end - at)); !item.empty()) {
      items.push_back(std::move(item));
    }
    at = end + 1;
  }
  return items;
}

std::string comma_joined(const std::vector<std::string>& items) { return join_names(items, ","); }

std::string joined_once(const std::vector<std::string>& pieces) {
  std::set<std::string> seen;
  std::string text;
  for (const std::string& piece : pieces) {
    if (!seen.insert(to_lower_ascii(piece)).second) continue;
    if (!text.empty()) text += ' ';
    text += piece;
  }
  return text;
}

std::string json_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_string(out, items[i]);
  }
  return out + "]";
}

std::string json_map(const std::map<std::string, std::string>& map) {
  std::string out = "{";
  for (const auto& [key, value] : map) {
    if (out.size() > 1) out += ", ";
    append_string(out, key);
    out += ": ";
    append_string(out, value);
  }
  return out + "}";
}

std::string json_counts(const std::map<std::string, std::int64_t>& counts) {
  std::string out = "{";
  for (const auto& [key, value] : counts) {
    if (out.size() > 1) out += ", ";
    append_string(out, key);
    out += ": " + std::to_string(value);
  }
  return out + "}";
}

std::vector<std::string> list_of_json(const std::string& text) {
  if (trimmed(text).empty()) return {};
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_array()) return {text};
  std::vector<std::string> items;
  for (const Json& item : json) {
    items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  }
  return items;
}

std::map<std::string, std::string> map_of_json(const std::string& text) {
  std::map<std::string, std::string> map;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return map;
  for (const auto& [key, value] : json.items()) {
    map[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return map;
}

std::string content_hash(const std::vector<std::pair<std::string, Value>>& row,
                         const std::vector<std::string>& columns) {
  std::map<std::string, Value> chosen;
  for (const std::string& column : columns) chosen[column];
  for (const auto& [name, value] : row) {
    if (const auto found = chosen.find(name); found != chosen.end()) found->second = value;
  }
  std::string json = "{";
  for (const auto& [name, value] : chosen) {
    if (json.size() > 1) json += ", ";
    append_string(json, name);
    json += ": ";
    append_value(json, value);
  }
  return sha256_hex(json + "}");
}

std::string flattened(const Record& record, const std::vector<std::string>& columns,
                      const std::vector<std::string>& lists) {
  std::string text;
  for (const std::string& column : columns) {
    const std::string value = record.get(column);
    if (std::find(lists.begin(), lists.end(), column) != lists.end()) {
      for (const std::string& item : comma_list(value)) append_pair(text, column, item);
      continue;
    }
    const Json json = value.starts_with("{") ? Json::parse(value, nullptr, false) : Json();
    if (json.is_object()) {
      flatten_json(text, column, json);
    } else {
      append_pair(text, column, value);
    }
  }
  return text;
}

}  // namespace nearlite
