// What people decided about single records: released from quarantine, never to be embedded again.
#include "nearlite/base/clock.h"
#include "nearlite/store/sidecar.h"
#include "sidecar_state.h"

namespace nearlite {

void Sidecar::release(const SourceKey& key, std::uint64_t text_hash) {
  const std::string now = state_->now();
  state_
      ->sql(
          "INSERT OR REPLACE INTO released(store, source_table, record_key, text_hash, "
          "released_at) VALUES (?1, ?2, ?3, ?4, ?5)")
      ->run(key.store, key.table, key.key, static_cast<std::int64_t>(text_hash),
            std::string_view(now));
  // Decided under no rules: the next backfill decides again.
  state_
      ->sql(
          "UPDATE record SET rules_version = '' WHERE store = ?1 AND source_table = ?2 AND "
          "record_key = ?3 AND state = 'blocked'")
      ->run(key.store, key.table, key.key);
}

std::vector<ReleasedRecord> Sidecar::released(std::string_view store) {
  Prepared row = state_->sql(
      "SELECT source_table, record_key, text_hash FROM released WHERE store = ?1 "
      "ORDER BY source_table, record_key");
  row->bind(1, store);
  std::vector<ReleasedRecord> records;
  while (row->step()) {
    records.push_back({std::string(row->text(0)), std::string(row->text(1)),
                       static_cast<std::uint64_t>(row->int64(2))});
  }
  return records;
}

void Sidecar::forget_release(const SourceKey& key) {
  state_->sql("DELETE FROM released WHERE store = ?1 AND source_table = ?2 AND record_key = ?3")
      ->run(key.store, key.table, key.key);
}

}  // namespace nearlite
