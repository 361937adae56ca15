#include "known_records.h"

#include <algorithm>
#include <bit>

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
  places_.assign(std::bit_ceil(2 * entries_.size() + 1), kNobody);
  for (std::size_t i = 0; i < entries_.size(); ++i)
    places_[place_of(entries_[i].key)] = static_cast<std::uint32_t>(i);
}

/// Where the entry with this hash is, or would be: places are tried one after the other.
std::size_t KnownRecords::place_of(std::uint64_t hash) const {
  const std::size_t mask = places_.size() - 1;
  std::size_t place = hash & mask;
  while (places_[place] != kNobody && entries_[places_[place]].key != hash)
    place = (place + 1) & mask;
  return place;
}

KnownRecords::Entry* KnownRecords::see(const RecordKey& key) {
  if (entries_.empty()) return nullptr;
  const std::uint32_t entry = places_[place_of(hash_of_key(key.table, key.json))];
  if (entry == kNobody) return nullptr;
  entries_[entry].seen = true;
  return &entries_[entry];
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
