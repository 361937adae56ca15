#include "nearlite/store/sidecar.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "file_system.h"
#include "keyword_tokenizer.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "sidecar_schema.h"
#include "sidecar_state.h"

namespace nearlite {
namespace {

constexpr std::size_t kHeaderBytes = 100;
constexpr std::size_t kUserVersionAt = 60;
constexpr std::size_t kApplicationIdAt = 68;

std::uint32_t big_endian_32(const unsigned char* bytes) {
  return (std::uint32_t{bytes[0]} << 24) | (std::uint32_t{bytes[1]} << 16) |
         (std::uint32_t{bytes[2]} << 8) | bytes[3];
}

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what) {
  throw CorruptData(
      file.string() + " is " + what + ", not a sidecar of nearlite; it was not touched",
      "move it away, or choose another index path");
}

struct SqliteClose {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};

/// Throws unless the file may be opened for writing: ours, or empty. Reads the header through
/// SQLite's own file object, before any lock, journal or WAL is looked at: opening and closing the
/// file by ourselves would drop the locks that other connections of this process hold on it, and
/// SQLite's ordinary read of a foreign WAL database writes a -shm.
void check_header(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) throw_errno("cannot look at " + file.string(), errno);
  if (!S_ISREG(status.st_mode)) refuse(file, "no regular file");
  if (status.st_size == 0) return;  // a first start that was cut off
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
  const std::unique_ptr<sqlite3, SqliteClose> db(raw);
  if (code != SQLITE_OK) throw_sqlite(raw, code, "cannot open " + file.string());
  sqlite3_file* handle = nullptr;
  sqlite3_file_control(raw, "main", SQLITE_FCNTL_FILE_POINTER, &handle);
  std::array<unsigned char, kHeaderBytes> header{};
  if (handle == nullptr || handle->pMethods == nullptr ||
      handle->pMethods->xRead(handle, header.data(), static_cast<int>(header.size()), 0) !=
          SQLITE_OK ||
      std::memcmp(header.data(), "SQLite format 3", 16) != 0) {
    refuse(file, "no SQLite database");
  }
  if (big_endian_32(&header[kApplicationIdAt]) != std::uint32_t{kSidecarApplicationId}) {
    refuse(file, "a SQLite database of another program");
  }
  const std::uint32_t version = big_endian_32(&header[kUserVersionAt]);
  if (version > std::uint32_t{kSidecarSchema}) {
    throw CorruptData(file.string() + " was made by a newer version of nearlite (schema " +
                          std::to_string(version) + ", this one knows " +
                          std::to_string(kSidecarSchema) + ")",
                      "use the newer version");
  }
}

std::string layout() { return std::to_string(xxh3_64(kSidecarTables)); }

/// Makes the tables. Application id and tables are one transaction in rollback-journal mode, so
/// that the id is in the file's first page, where check_header() looks, from the first moment that
/// there is one.
void create_tables(Connection& db, bool fts5) {
  Transaction transaction(db);
  Statement version = db.prepare("PRAGMA user_version");
  version.step();
  const bool made = version.int64(0) != 0;  // by another process, meanwhile
  version.reset();
  if (!made) {
    db.execute("PRAGMA application_id = " + std::to_string(kSidecarApplicationId));
    db.execute(kSidecarTables);
    db.execute("INSERT INTO fact(store, name, value) VALUES ('', 'layout', '" + layout() + "')");
    if (fts5) {
      db.execute(kKeywordTables);
      db.execute("INSERT INTO fact(store, name, value) VALUES ('', 'keywords', '1')");
    }
    db.execute("PRAGMA user_version = " + std::to_string(kSidecarSchema));
  }
  transaction.commit();
}

/// Before the first release the tables of schema 1 may still change: a file with others is refused
/// by name rather than misread.
void check_layout(Connection& db, const std::filesystem::path& file) {
  Statement row = db.prepare(
      "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('fact', 'record')");
  row.step();
  if (row.int64(0) == 2) {
    Statement fact = db.prepare("SELECT value FROM fact WHERE store = '' AND name = 'layout'");
    if (fact.step() && fact.text(0) == layout()) return;
  }
  throw CorruptData(
      file.string() + " was made by an earlier version of nearlite, with other tables",
      "move it away and run the same command again: it is made anew");
}

void take_owner_and_mode(const std::filesystem::path& file, const std::filesystem::path& like) {
  struct stat model {};
  if (like.empty() || ::stat(like.c_str(), &model) != 0) return;
  // Best effort: only the superuser may give files away. The mode is what protects the content.
  if (::chown(file.c_str(), model.st_uid, model.st_gid) != 0 && errno != EPERM) {
    throw_errno("cannot set the owner of " + file.string(), errno);
  }
  if (::chmod(file.c_str(), (model.st_mode & 0666) | 0600) != 0)
    throw_errno("cannot set the mode of " + file.string(), errno);
}

struct Opened {
  Connection db;
  bool fts5;
};

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.parent_path().empty() ? "." : file.parent_path();
}

/// WAL needs memory that all processes share, which a network file system does not give: SQLite
/// would go on and damage the file.
void refuse_network(const std::filesystem::path& file) {
  const std::string_view network = network_file_system(folder_of(file));
  if (network.empty()) return;
  throw Unavailable(file.string() + " would be on a network file system (" + std::string(network) +
                        "), where several processes cannot share it safely",
                    "keep the index on a local disk: --sidecar DIR, or index_path");
}

/// A sidecar in a folder where nothing can be written is read as it is, without locks and shared
/// memory, so it must be whole: nothing of it may still stand in its -wal.
Opened open_read_only(const std::filesystem::path& file) {
  std::filesystem::path wal = file;
  wal += "-wal";
  if (const auto stamp = stamp_of(wal); stamp && stamp->size_bytes > 0) {
    throw Unavailable(file.string() + " is in a folder that cannot be written to, and its last " +
                          "changes are still in " + wal.filename().string(),
                      "run any nearlite command once where the folder can be written to");
  }
  Connection db = Connection::open(file, false);
  const bool fts5 = register_keywords(db.handle());
  check_layout(db, file);
  return {std::move(db), fts5};
}

Opened open_connection(const std::filesystem::path& file, const SidecarOptions& options) {
  const bool exists = stamp_of(file).has_value();
  if (!exists && !options.create) throw NotFound("there is no sidecar " + file.string());
  if (!is_writable_place(file)) {
    if (options.create) {
      throw Unavailable(
          file.string() + " cannot be written: its file system or folder is read-only",
          "searching works; to embed, make it writable or keep the index elsewhere: "
          "--sidecar DIR, or index_path");
    }
    check_header(file);
    return open_read_only(file);
  }
  refuse_network(file);
  if (exists) check_header(file);
  Connection db = Connection::open(file, options.create);
  if (!exists) take_owner_and_mode(file, options.like);
  const bool fts5 = register_keywords(db.handle());
  Statement tables = db.prepare("SELECT count(*) FROM sqlite_master");
  tables.step();
  const bool empty = tables.int64(0) == 0;
  tables.reset();
  if (empty && !options.create) throw NotFound("the sidecar " + file.string() + " is empty");
  if (empty) create_tables(db, fts5);
  check_layout(db, file);
  // NORMAL may lose acknowledged commits in a power cut; a vector once acknowledged must stay.
  db.execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864");
  return {std::move(db), fts5};
}

}  // namespace

Sidecar::Sidecar(std::filesystem::path file, const SidecarOptions& options) {
  Opened opened = open_connection(file, options);
  state_ = std::make_unique<State>(
      std::move(file), std::move(opened.db), options.clock ? *options.clock : system_clock(),
      options.keyword_lists ? options.keyword_lists : make_keyword_lists());
  state_->fts5 = opened.fts5;
}

Sidecar::~Sidecar() = default;

const std::filesystem::path& Sidecar::file() const noexcept { return state_->file; }
const Clock& Sidecar::clock() const noexcept { return state_->clock; }
Connection& Sidecar::connection() noexcept { return state_->db; }
Transaction Sidecar::begin() { return Transaction(state_->db); }

std::int64_t Sidecar::data_version() {
  Prepared statement = state_->sql("PRAGMA data_version");
  statement->step();
  return statement->int64(0);
}

std::string Sidecar::quick_check() {
  Prepared statement = state_->sql("PRAGMA quick_check(1)");
  return statement->step() ? std::string(statement->text(0)) : "no answer";
}

std::string Sidecar::integrity_check() {
  Prepared statement = state_->sql("PRAGMA integrity_check(1)");
  return statement->step() ? std::string(statement->text(0)) : "no answer";
}

std::uint64_t Sidecar::size_bytes() const {
  std::filesystem::path wal = state_->file;
  wal += "-wal";
  std::uint64_t bytes = 0;
  for (const auto& part : {state_->file, wal}) {
    if (const auto stamp = stamp_of(part)) bytes += stamp->size_bytes;
  }
  return bytes;
}

std::string_view record_state_name(RecordState state) {
  switch (state) {
    case RecordState::kEmbedded:
      return "embedded";
    case RecordState::kSkipped:
      return "skipped";
    case RecordState::kBlocked:
      return "blocked";
    case RecordState::kEmpty:
      return "empty";
  }
  return "embedded";
}

}  // namespace nearlite
