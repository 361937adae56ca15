#include <utility>

#include "nearlite/store/sidecar.h"
#include "sidecar_state.h"

namespace nearlite {
namespace {

DerivedFile derived_file_of(Prepared& row) {
  DerivedFile file;
  file.store = row->text(0);
  file.kind = row->text(1);
  file.file = row->text(2);
  file.bytes = static_cast<std::uint64_t>(row->int64(3));
  file.sha256 = row->text(4);
  file.xxh3 = static_cast<std::uint64_t>(row->int64(5));
  file.generation = row->int64(6);
  file.last_slot = row->int64(7);
  file.last_change = row->int64(8);
  file.count = row->int64(9);
  file.model_identity = row->text(10);
  file.backend = row->text(11);
  file.calibration = row->text(12);
  return file;
}

constexpr char kManifestColumns[] =
    "store, kind, file, bytes, sha256, xxh3, generation, last_slot, last_change, count, "
    "model_identity, backend, "
    "calibration";

}  // namespace

std::vector<Removal> Sidecar::removals(std::string_view store, std::int64_t after_change) {
  Prepared rows = state_->sql(
      "SELECT change, slot FROM removal WHERE change > ?2 AND (?1 = '' OR store = ?1) ORDER BY "
      "change");
  rows->bind(1, store).bind(2, after_change);
  std::vector<Removal> removals;
  while (rows->step()) removals.push_back({rows->int64(0), rows->int64(1)});
  return removals;
}

std::int64_t Sidecar::last_change() {
  Prepared row = state_->sql("SELECT seq FROM sqlite_sequence WHERE name = 'removal'");
  return row->step() ? row->int64(0) : 0;
}

std::int64_t Sidecar::last_slot() {
  Prepared row = state_->sql("SELECT seq FROM sqlite_sequence WHERE name = 'vector'");
  return row->step() ? row->int64(0) : 0;
}

std::optional<DerivedFile> Sidecar::derived_file(std::string_view store, std::string_view kind) {
  static const std::string sql =
      std::string("SELECT ") + kManifestColumns + " FROM manifest WHERE store = ?1 AND kind = ?2";
  Prepared row = state_->sql(sql);
  row->bind(1, store).bind(2, kind);
  if (!row->step()) return std::nullopt;
  return derived_file_of(row);
}

std::vector<DerivedFile> Sidecar::derived_files() {
  static const std::string sql =
      std::string("SELECT ") + kManifestColumns + " FROM manifest ORDER BY store, kind";
  Prepared row = state_->sql(sql);
  std::vector<DerivedFile> files;
  while (row->step()) files.push_back(derived_file_of(row));
  return files;
}

void Sidecar::put_derived_file(const DerivedFile& file) {
  static const std::string sql =
      std::string("INSERT OR REPLACE INTO manifest(") + kManifestColumns +
      ", created_at) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)";
  Prepared insert = state_->sql(sql);
  const std::string now = state_->now();
  insert->run(std::string_view(file.store), std::string_view(file.kind),
              std::string_view(file.file), static_cast<std::int64_t>(file.bytes),
              std::string_view(file.sha256), static_cast<std::int64_t>(file.xxh3), file.generation,
              file.last_slot, file.last_change, file.count, std::string_view(file.model_identity),
              std::string_view(file.backend), std::string_view(file.calibration),
              std::string_view(now));
}

void Sidecar::remove_derived_file(std::string_view store, std::string_view kind) {
  state_->sql("DELETE FROM manifest WHERE store = ?1 AND kind = ?2")->run(store, kind);
}

void Sidecar::prune_removals() {
  // A removal may go when every file that could hold its slot was written later: the store's own,
  // and those of all stores.
  state_
      ->sql(
          "DELETE FROM removal WHERE NOT EXISTS (SELECT 1 FROM manifest WHERE (manifest.store = "
          "removal.store OR "
          "manifest.store = '') AND manifest.last_change < removal.change AND manifest.last_slot "
          ">= removal.slot)")
      ->run();
}

std::optional<std::string> Sidecar::fact(std::string_view store, std::string_view name) {
  Prepared row = state_->sql("SELECT value FROM fact WHERE store = ?1 AND name = ?2");
  row->bind(1, store).bind(2, name);
  if (!row->step()) return std::nullopt;
  return std::string(row->text(0));
}

void Sidecar::set_fact(std::string_view store, std::string_view name, std::string_view value) {
  state_->sql("INSERT OR REPLACE INTO fact(store, name, value) VALUES (?1, ?2, ?3)")
      ->run(store, name, value);
}

void Sidecar::remove_fact(std::string_view store, std::string_view name) {
  state_->sql("DELETE FROM fact WHERE store = ?1 AND name = ?2")->run(store, name);
}

}  // namespace nearlite
