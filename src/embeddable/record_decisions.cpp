#include "record_decisions.h"

#include "content.h"
#include "nearlite/base/checksum.h"

namespace nearlite {

RecordDecisions RecordDecisions::of(Sidecar& sidecar, const std::string& store) {
  RecordDecisions decisions;
  for (const ReleasedRecord& record : sidecar.released(store)) {
    decisions.released_.emplace(hash_of_key(record.table, record.key), record.text_hash);
  }
  decisions.salt_ = sidecar.erase_salt();
  if (decisions.salt_.empty()) return decisions;
  for (const ErasedRecord& record : sidecar.erased(store))
    decisions.erased_.insert(record.key_hash);
  return decisions;
}

bool RecordDecisions::released(const RecordKey& key, std::uint64_t text_hash) const {
  if (released_.empty()) return false;
  const auto found = released_.find(hash_of_key(key.table, key.json));
  return found != released_.end() && found->second == text_hash;
}

bool RecordDecisions::erased(const RecordKey& key) const {
  return !erased_.empty() && erased_.contains(erased_key_hash(salt_, key));
}

std::string erased_key_hash(const std::string& salt, const RecordKey& key) {
  // Salt on both ends: no length extension, no other key with the same bytes.
  return sha256_hex(salt + sha256_hex(salt + key.table + '\0' + key.json));
}

}  // namespace nearlite
