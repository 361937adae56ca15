#include "record_decisions.h"

#include "content.h"

namespace nearlite {

RecordDecisions RecordDecisions::of(Sidecar& sidecar, const std::string& store) {
  RecordDecisions decisions;
  for (const ReleasedRecord& record : sidecar.released(store)) {
    decisions.released_.emplace(hash_of_key(record.table, record.key), record.text_hash);
  }
  return decisions;
}

bool RecordDecisions::released(const RecordKey& key, std::uint64_t text_hash) const {
  if (released_.empty()) return false;
  const auto found = released_.find(hash_of_key(key.table, key.json));
  return found != released_.end() && found->second == text_hash;
}

}  // namespace nearlite
