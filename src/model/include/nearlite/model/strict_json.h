#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace nearlite {

/// Parses JSON that others wrote: at most 32 levels deep, two million names and values, and
/// no name twice in an object.
/// Throws CorruptData; `what` names the text, e.g. "header of model.safetensors".
nlohmann::json parse_strict_json(std::string_view text, const std::string& what);

}  // namespace nearlite
