#pragma once

#include <string>
#include <vector>

namespace nearlite {

/// The tables of information.db, which InfoDB and InformationDB share (reference §3.6 and §3.7).
std::vector<std::string> information_schema();

}  // namespace nearlite
