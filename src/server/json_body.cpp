#include "json_body.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "nearlite/base/names.h"
#include "nearlite/model/strict_json.h"

namespace nearlite::server {
namespace {

std::string short_number(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", number);
  return text;
}

}  // namespace

Json parse_json(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    throw ApiError(400, "invalid_json", "the body is empty, a JSON object is wanted");
  try {
    return parse_strict_ordered_json(text, "the body");
  } catch (const JsonError& error) {
    using Kind = JsonError::Kind;
    const std::string name = error.name().substr(0, 64);
    switch (error.kind()) {
      case Kind::kSyntax:  // not in the parser's own words, which repeat what was sent
        throw ApiError(400, "invalid_json",
                       "the body is not JSON at byte " + std::to_string(error.byte()));
      case Kind::kNumber:
        throw ApiError(400, "invalid_json", "the body holds a number that is too large");
      case Kind::kTwice:
        throw ApiError(400, "invalid_json", "the field \"" + name + "\" is there twice", name);
      case Kind::kTooDeep:
      case Kind::kTooMany:
        throw ApiError(400, "invalid_json", error.what());
    }
    throw;
  }
}

Fields::Fields(const Json& object, int error_status)
    : object_(object), error_status_(error_status) {
  if (!object.is_object())
    throw ApiError(error_status, "invalid_json", "the body is not a JSON object");
}

void Fields::refuse(const std::string& name, const std::string& problem) const {
  throw ApiError(error_status_, "invalid_value", "\"" + name + "\" " + problem, name);
}

bool Fields::has(const std::string& name) const {
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

const Json* Fields::any(const std::string& name) {
  asked_.insert(name);
  return has(name) ? &object_.at(name) : nullptr;
}

std::optional<std::string> Fields::optional_text(const std::string& name, std::size_t most_bytes) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) refuse(name, "is not a text");
  std::string text = value->get<std::string>();
  if (text.size() > most_bytes) {
    throw ApiError(413, "too_large",
                   "\"" + name + "\" has " + std::to_string(text.size()) + " bytes, at most " +
                       std::to_string(most_bytes) + " are read",
                   name);
  }
  return text;
}

std::string Fields::text(const std::string& name, std::size_t most_bytes) {
  auto text = optional_text(name, most_bytes);
  if (!text) throw ApiError(error_status_, "missing_field", "\"" + name + "\" is missing", name);
  return std::move(*text);
}

std::optional<std::size_t> Fields::count(const std::string& name, std::size_t least,
                                         std::size_t most) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  const std::string range =
      "is not a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  if (!value->is_number_integer()) refuse(name, range);
  if (!value->is_number_unsigned() && value->get<std::int64_t>() < 0) refuse(name, range);
  const auto number = value->get<std::uint64_t>();
  if (number < least || number > most) refuse(name, range);
  return static_cast<std::size_t>(number);
}

std::optional<double> Fields::number(const std::string& name, double least, double most) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !(value->get<double>() >= least && value->get<double>() <= most))
    refuse(name, "is not a number from " + short_number(least) + " to " + short_number(most));
  return value->get<double>();
}

bool Fields::flag(const std::string& name, bool otherwise) {
  const Json* value = any(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) refuse(name, "is not true or false");
  return value->get<bool>();
}

std::optional<std::vector<std::string>> Fields::texts(const std::string& name,
                                                      std::size_t most_items) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  const bool fits = value->is_array() && value->size() <= most_items &&
                    std::ranges::all_of(*value, [](const Json& item) { return item.is_string(); });
  if (!fits) refuse(name, "is not a list of at most " + std::to_string(most_items) + " texts");
  return value->get<std::vector<std::string>>();
}

void Fields::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (asked_.contains(name)) continue;
    const std::vector<std::string> known(asked_.begin(), asked_.end());
    const auto nearest = nearest_name(name, known);
    throw ApiError(
        error_status_, "unknown_field",
        "unknown field \"" + name.substr(0, 64) + "\"; " +
            (nearest ? "did you mean \"" + *nearest + "\"?" : "known are " + join_names(known)),
        name.substr(0, 64));
  }
}

}  // namespace nearlite::server
