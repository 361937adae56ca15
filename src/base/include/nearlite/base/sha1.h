#pragma once

#include <string>
#include <string_view>

namespace nearlite {

/// SHA-1 as 40 lower-case hex digits: for names that others made with it, not against attackers.
std::string sha1_hex(std::string_view text);

}  // namespace nearlite
