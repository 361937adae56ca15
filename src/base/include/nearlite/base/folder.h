#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nearlite {

/// Names of everything in a folder, sorted; none if it cannot be read. Unlike
/// std::filesystem::directory_iterator it throws when there is no memory instead of ending the
/// process.
std::vector<std::string> names_in(const std::filesystem::path& folder);

}  // namespace nearlite
