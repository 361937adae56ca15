#pragma once

#include <string>
#include <string_view>

#include "nearlite/databases/config.h"

namespace nearlite {

/// As read_config, of text that was read already. `file` stands in messages and roots relative
/// paths.
Config parse_config(std::string_view text, const std::filesystem::path& file, ConfigPlace place);

/// "no store x in f.toml; did you mean y?"
[[noreturn]] void throw_unknown_store(const std::string& name, const Config& config);

}  // namespace nearlite
