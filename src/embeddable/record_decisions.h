#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "nearlite/embeddable/record.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// What people decided about single records of a store, as the sidecar has it at one moment.
class RecordDecisions {
 public:
  static RecordDecisions of(Sidecar& sidecar, const std::string& store);

  /// Released from quarantine, with this very text.
  bool released(const RecordKey& key, std::uint64_t text_hash) const;

 private:
  std::unordered_map<std::uint64_t, std::uint64_t> released_;  // hash of the key, of the text
};

}  // namespace nearlite
