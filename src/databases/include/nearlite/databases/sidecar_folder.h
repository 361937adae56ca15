#pragma once

#include <filesystem>
#include <optional>

namespace nearlite {

/// app.db -> app.db.nearlite beside it, or `sidecar` if given.
std::filesystem::path sidecar_folder_of(
    const std::filesystem::path& database,
    const std::optional<std::filesystem::path>& sidecar = std::nullopt);
/// The folder that knows this database: `sidecar` if given, else FILE.nearlite, or, when there is
/// none and FILE is a link, the folder of the file it leads to; or, when the database was renamed,
/// the *.nearlite folder beside it whose database is gone and whose kept identity is that of this
/// file.
std::filesystem::path find_sidecar_folder(
    const std::filesystem::path& database,
    const std::optional<std::filesystem::path>& sidecar = std::nullopt);
/// Makes the folder with owner, group and mode of the database file, and in it a .gitignore of `*`.
/// Leaves one that is there. Throws Unavailable (hint: --sidecar DIR) if it cannot be made,
/// NotFound if there is no such database.
void create_sidecar_folder(const std::filesystem::path& folder,
                           const std::filesystem::path& database);
/// nearlite.toml inside.
std::filesystem::path sidecar_config(const std::filesystem::path& folder);

}  // namespace nearlite
