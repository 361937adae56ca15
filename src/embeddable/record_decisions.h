#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "nearlite/embeddable/record.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// What people decided about single records of a store, as the sidecar has it at one moment.
class RecordDecisions {
 public:
  static RecordDecisions of(Sidecar& sidecar, const std::string& store);

  /// Released from quarantine, with this very text.
  bool released(const RecordKey& key, std::uint64_t text_hash) const;
  /// Erased, and never to be embedded again.
  bool erased(const RecordKey& key) const;

 private:
  std::unordered_map<std::uint64_t, std::uint64_t> released_;  // hash of the key, of the text
  std::unordered_set<std::string> erased_;                     // keyed hashes
  std::string salt_;
};

/// What stands on the do-not-embed list for a key: 64 hex digits. Without the sidecar's salt nobody
/// can tell which keys are on it.
std::string erased_key_hash(const std::string& salt, const RecordKey& key);

}  // namespace nearlite
