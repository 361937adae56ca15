#pragma once

#include <filesystem>
#include <string_view>

namespace nearlite {

/// The name of a network file system ("NFS", "SMB", ...) by the number that statfs gives; "" for
/// any other.
std::string_view network_name_of(unsigned long type) noexcept;
/// The network file system that a folder, or the nearest of its parents that exists, is on; "":
/// none.
std::string_view network_file_system(std::filesystem::path folder);
/// Whether this process may write to a file, if it exists, and to its folder; for the superuser
/// only a read-only file system says no.
bool is_writable_place(const std::filesystem::path& file);

}  // namespace nearlite
