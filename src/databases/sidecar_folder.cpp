#include "nearlite/databases/sidecar_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/folder.h"
#include "nearlite/databases/config.h"

namespace nearlite {
namespace {

/// Who may read the database may enter the folder: 0640 -> 0750.
mode_t folder_mode(mode_t file_mode) {
  const mode_t readable = file_mode & 0444;
  return (file_mode & 0666) | (readable >> 2) | 0700;
}

/// Device and inode stay when a file is renamed; copies and other files have different ones.
std::string identity_of(const struct stat& file) {
  return std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino);
}

std::filesystem::path identity_file(const std::filesystem::path& folder) {
  return folder / "database.identity";
}

void write_if_different(const std::filesystem::path& file, const std::string& text) {
  if (stamp_of(file) && read_file(file) == text) return;
  AtomicFile out(file);
  out.write(text);
  out.commit();
}

/// Whether every database that the folder names is gone.
bool is_orphaned(const std::filesystem::path& folder) {
  try {
    const Config config = read_config(sidecar_config(folder), ConfigPlace::kSidecar);
    return std::none_of(config.tables.begin(), config.tables.end(), [](const TableConfig& table) {
      return stamp_of(table.database).has_value();
    });
  } catch (const Error&) {
    return false;  // somebody else's folder
  }
}

}  // namespace

std::filesystem::path find_sidecar_folder(const std::filesystem::path& database,
                                          const std::optional<std::filesystem::path>& sidecar) {
  std::filesystem::path usual = sidecar_folder_of(database, sidecar);
  struct stat file {};
  if (sidecar || stamp_of(sidecar_config(usual)) || ::stat(database.c_str(), &file) != 0) {
    return usual;
  }
  std::error_code failed;
  // A link leads to the file that is meant: as SQLite keeps its journal there, so do we.
  if (std::filesystem::is_symlink(database, failed)) {
    const auto real = std::filesystem::canonical(database, failed);
    if (!failed) return find_sidecar_folder(real);
  }
  const auto parent = std::filesystem::absolute(database).parent_path();
  for (const std::string& name : names_in(parent)) {
    const std::filesystem::path folder = parent / name;
    const std::filesystem::path kept = identity_file(folder);
    if (folder.extension() != ".nearlite" || !std::filesystem::is_regular_file(kept, failed))
      continue;
    if (read_file(kept) == identity_of(file) + "\n" && is_orphaned(folder)) return folder;
  }
  return usual;
}

std::filesystem::path sidecar_folder_of(const std::filesystem::path& database,
                                        const std::optional<std::filesystem::path>& sidecar) {
  if (sidecar) return *sidecar;
  return std::filesystem::path(database.native() + ".nearlite");
}

std::filesystem::path sidecar_config(const std::filesystem::path& folder) {
  return folder / "nearlite.toml";
}

void create_sidecar_folder(const std::filesystem::path& folder,
                           const std::filesystem::path& database) {
  struct stat file {};
  if (::stat(database.c_str(), &file) != 0) throw_errno("cannot open " + database.string(), errno);
  if (::mkdir(folder.c_str(), 0700) == 0) {
    // Best effort: only root may give a folder away, and then the mode alone already keeps others
    // out.
    if (::chown(folder.c_str(), file.st_uid, file.st_gid) == 0 || file.st_uid == ::geteuid()) {
      ::chmod(folder.c_str(), folder_mode(file.st_mode));
    }
  } else if (errno != EEXIST) {
    const int reason = errno;
    try {
      throw_errno("cannot make the folder " + folder.string(), reason);
    } catch (const Error& error) {
      throw Unavailable(error.what(), "choose another place for it: --sidecar DIR");
    }
  } else if (!std::filesystem::is_directory(folder)) {
    throw CorruptData(folder.string() + " is in the way: it is a file, not a folder",
                      "choose another place for the vectors: --sidecar DIR");
  }
  write_if_different(folder / ".gitignore", "*\n");
  write_if_different(identity_file(folder), identity_of(file) + "\n");
}

}  // namespace nearlite
