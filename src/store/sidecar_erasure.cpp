// Deleting so that no byte is left, and remembering what was deleted without keeping it.
#include <sqlite3.h>
#include <sys/random.h>

#include <cstring>

#include "nearlite/base/error.h"
#include "nearlite/base/hex.h"
#include "nearlite/store/sidecar.h"
#include "sidecar_state.h"

namespace nearlite {
namespace {

constexpr char kSaltFact[] = "erase_salt";
constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kWindowRecord = sizeof(std::uint32_t) + sizeof(std::uint64_t);
constexpr std::size_t kReadBytes = std::size_t{1} << 20;

std::vector<std::byte> packed(std::span<const ByteWindow> windows) {
  std::vector<std::byte> bytes(windows.size() * kWindowRecord);
  std::byte* at = bytes.data();
  for (const ByteWindow& window : windows) {
    std::memcpy(at, &window.length, sizeof window.length);
    std::memcpy(at + sizeof window.length, &window.hash, sizeof window.hash);
    at += kWindowRecord;
  }
  return bytes;
}

std::vector<ByteWindow> unpacked(std::span<const std::byte> bytes) {
  std::vector<ByteWindow> windows(bytes.size() / kWindowRecord);
  const std::byte* at = bytes.data();
  for (ByteWindow& window : windows) {
    std::memcpy(&window.length, at, sizeof window.length);
    std::memcpy(&window.hash, at + sizeof window.length, sizeof window.hash);
    at += kWindowRecord;
  }
  return windows;
}

std::string random_hex() {
  unsigned char bytes[kSaltBytes];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
    throw Unavailable("the system has no random numbers");
  return hex_of(std::as_bytes(std::span(bytes)));
}

}  // namespace

void Sidecar::put_erased(std::string_view store, const ErasedRecord& record) {
  const std::string at = record.erased_at.empty() ? state_->now() : record.erased_at;
  const std::vector<std::byte> windows = packed(record.windows);
  state_
      ->sql(
          "INSERT OR REPLACE INTO erased(store, key_hash, erased_at, complete, windows) VALUES "
          "(?1, ?2, ?3, ?4, ?5)")
      ->run(store, std::string_view(record.key_hash), std::string_view(at),
            std::int64_t{record.complete ? 1 : 0}, std::span<const std::byte>(windows));
}

bool Sidecar::forget_erased(std::string_view store, std::string_view key_hash) {
  state_->sql("DELETE FROM erased WHERE store = ?1 AND key_hash = ?2")->run(store, key_hash);
  return state_->db.changes() > 0;
}

std::vector<ErasedRecord> Sidecar::erased(std::string_view store) {
  Prepared row = state_->sql(
      "SELECT key_hash, erased_at, complete, windows FROM erased WHERE store = ?1 ORDER BY "
      "key_hash");
  row->bind(1, store);
  std::vector<ErasedRecord> records;
  while (row->step()) {
    records.push_back({std::string(row->text(0)), std::string(row->text(1)), row->int64(2) != 0,
                       unpacked(row->blob(3))});
  }
  return records;
}

std::string Sidecar::erase_salt() { return fact("", kSaltFact).value_or(""); }

std::string Sidecar::make_erase_salt() {
  std::string salt = erase_salt();
  if (salt.empty()) {
    salt = random_hex();
    set_fact("", kSaltFact, salt);
  }
  return salt;
}

void Sidecar::compact() {
  const std::string action = "cannot compact " + state_->file.string();
  state_->statements.clear();
  state_->db.execute("PRAGMA secure_delete = ON");
  // A full-text index keeps words of deleted rows until it is merged.
  std::vector<std::string> word_tables;
  {
    Statement names = state_->db.prepare(
        "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%USING fts5%'");
    while (names.step()) word_tables.emplace_back(names.text(0));
  }
  for (const std::string& table : word_tables) {
    const std::string name = quote_identifier(table);
    state_->db.execute("INSERT INTO " + name + "(" + name + ") VALUES('rebuild')");
  }
  state_->db.execute("VACUUM");
  // Everything into the database file, and the -wal cut to nothing: older states of pages were in
  // it.
  Statement checkpoint = state_->db.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
  const bool busy = checkpoint.step() && checkpoint.int64(0) != 0;
  checkpoint.reset();
  if (busy) {
    throw Unavailable(
        action +
            ": another process reads an older state of it, whose bytes must stay until it ends",
        "the records are deleted; run the same command again when nobody reads");
  }
}

bool Sidecar::any_text_holds(std::string_view part) {
  std::vector<std::string> tables;
  {
    Statement names = state_->db.prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'");
    while (names.step()) tables.emplace_back(names.text(0));
  }
  for (const std::string& table : tables) {
    std::vector<std::string> columns;
    Statement info = state_->db.prepare("SELECT name FROM pragma_table_info(?1)");
    info.bind(1, std::string_view(table));
    while (info.step()) columns.emplace_back(info.text(0));
    for (const std::string& column : columns) {
      const std::string name = quote_identifier(column);
      Statement found =
          state_->db.prepare("SELECT 1 FROM " + quote_identifier(table) + " WHERE typeof(" + name +
                             ") = 'text' AND instr(" + name + ", ?1) > 0 LIMIT 1");
      found.bind(1, part);
      if (found.step()) return true;
    }
  }
  return false;
}

bool Sidecar::any_vector_is(std::span<const std::byte> blob) {
  Prepared row = state_->sql("SELECT 1 FROM vector WHERE vector = ?1 LIMIT 1");
  row->bind(1, blob);
  return row->step();
}

std::vector<std::vector<std::byte>> Sidecar::vectors_of(const SourceKey& key) {
  Prepared row = state_->sql(
      "SELECT vector.vector FROM record CROSS JOIN vector ON vector.record = record.id WHERE "
      "record.store = ?1 AND record.source_table = ?2 AND record.record_key = ?3");
  row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
  std::vector<std::vector<std::byte>> vectors;
  while (row->step()) {
    const auto blob = row->blob(0);
    vectors.emplace_back(blob.begin(), blob.end());
  }
  return vectors;
}

void Sidecar::read_file_bytes(const std::function<void(std::span<const std::byte>)>& visit) {
  sqlite3_file* handle = nullptr;
  sqlite3_file_control(state_->db.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &handle);
  if (handle == nullptr || handle->pMethods == nullptr)
    throw Unavailable("cannot read " + state_->file.string());
  sqlite3_int64 size = 0;
  if (handle->pMethods->xFileSize(handle, &size) != SQLITE_OK)
    throw Unavailable("cannot read the size of " + state_->file.string());
  std::vector<std::byte> buffer(kReadBytes);
  for (sqlite3_int64 at = 0; at < size;) {
    const auto part = static_cast<std::size_t>(std::min<sqlite3_int64>(size - at, kReadBytes));
    if (handle->pMethods->xRead(handle, buffer.data(), static_cast<int>(part), at) != SQLITE_OK)
      throw Unavailable("cannot read " + state_->file.string());
    visit(std::span(buffer).first(part));
    at += static_cast<sqlite3_int64>(part);
  }
}

}  // namespace nearlite
