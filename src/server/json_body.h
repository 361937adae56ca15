#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api_error.h"
#include "nearlite/service/result_json.h"

namespace nearlite::server {

/// Keys keep their order.
using Json = nlohmann::ordered_json;

/// Strict JSON: one value, no key twice in an object, at most 32 levels, valid UTF-8 without lone
/// surrogates. Throws ApiError 400 with the position.
Json parse_json(std::string_view text);

/// The fields of a JSON object that a request sent. Each getter names the field in its error;
/// finish() refuses fields that nobody asked for. A field that is null counts as not sent.
class Fields {
 public:
  /// Throws ApiError 400 if it is not an object. `error_status`: of wrong fields.
  explicit Fields(const Json& object, int error_status = 400);

  bool has(const std::string& name) const;
  /// Throws if it is missing. The text is valid UTF-8 of at most `most_bytes`.
  std::string text(const std::string& name, std::size_t most_bytes = 256 << 10);
  std::optional<std::string> optional_text(const std::string& name,
                                           std::size_t most_bytes = 256 << 10);
  std::optional<std::size_t> count(const std::string& name, std::size_t least, std::size_t most);
  std::optional<double> number(const std::string& name, double least, double most);
  bool flag(const std::string& name, bool otherwise);
  std::optional<std::vector<std::string>> texts(const std::string& name, std::size_t most_items);
  /// As it is; nullptr if it was not sent.
  const Json* any(const std::string& name);
  /// Taken and not looked at.
  void ignore(const std::string& name) { asked_.insert(name); }
  void finish() const;

  [[noreturn]] void refuse(const std::string& name, const std::string& problem) const;

 private:
  const Json& object_;
  int error_status_;
  std::set<std::string> asked_;
};

}  // namespace nearlite::server
