#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "nearlite/base/error.h"

namespace nearlite {

/// Why a text is no strict JSON, for callers that say it in their own words.
class JsonError : public CorruptData {
 public:
  enum class Kind { kSyntax, kNumber, kTooDeep, kTooMany, kTwice };
  JsonError(Kind kind, const std::string& message, std::size_t byte = 0, std::string name = {})
      : CorruptData(message), kind_(kind), byte_(byte), name_(std::move(name)) {}
  Kind kind() const noexcept { return kind_; }
  std::size_t byte() const noexcept { return byte_; }         // kSyntax: where, from 1
  const std::string& name() const noexcept { return name_; }  // kTwice: which

 private:
  Kind kind_;
  std::size_t byte_;
  std::string name_;
};

/// Parses JSON that others wrote: one value, at most 32 levels deep, two million names and values,
/// valid UTF-8, no name twice in an object and no number that a double cannot hold.
/// Throws JsonError; `what` names the text, e.g. "header of model.safetensors".
nlohmann::json parse_strict_json(std::string_view text, const std::string& what);
/// The same; objects keep the order of their names.
nlohmann::ordered_json parse_strict_ordered_json(std::string_view text, const std::string& what);

}  // namespace nearlite
