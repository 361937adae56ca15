#include "known_records.h"

#include <algorithm>

#include "content.h"
#include "nearlite/base/checksum.h"

namespace nearlite {

std::uint64_t hash_of_last_updated(std::string_view last_updated) { return xxh3_64(last_updated); }

KnownRecords::KnownRecords(Sidecar& sidecar, std::string_view store,
                           std::string_view rules_version) {
  const std::vector<std::int64_t> damaged = sidecar.damaged_records();
  sidecar.scan_records(store, [&](const RecordBrief& record) {
    Entry entry;
    entry.key = hash_of_key(record.table, record.key);
    entry.text_hash = record.text_hash;
    entry.last_updated = hash_of_last_updated(record.last_updated);
    entry.record = record.id;
    entry.model = static_cast<std::int32_t>(record.model);
    entry.state = record.state;
    entry.same_rules = record.rules_version == rules_version;
    entry.damaged = !damaged.empty() && std::ranges::binary_search(damaged, record.id);
    entries_.push_back(entry);
  });
  std::ranges::sort(entries_, {}, &Entry::key);
}

KnownRecords::Entry* KnownRecords::see(const RecordKey& key) {
  const std::uint64_t hash = hash_of_key(key.table, key.json);
  const auto found = std::ranges::lower_bound(entries_, hash, {}, &Entry::key);
  if (found == entries_.end() || found->key != hash) return nullptr;
  found->seen = true;
  return &*found;
}

std::vector<RecordKey> KnownRecords::unseen(Sidecar& sidecar) const {
  std::vector<RecordKey> keys;
  for (const Entry& entry : entries_) {
    if (entry.seen) continue;
    sidecar.read_record(entry.record, [&](const RecordBrief& record) {
      RecordKey& key = keys.emplace_back();
      key.json = record.key;
      key.table = record.table;
    });
  }
  return keys;
}

std::size_t KnownRecords::num_unseen(RecordState state) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      entries_, [&](const Entry& entry) { return !entry.seen && entry.state == state; }));
}

}  // namespace nearlite
