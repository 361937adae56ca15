#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "nearlite/embeddable/record.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// What the sidecar knew of all records of a store at one moment, about 60 bytes each: tells the
/// many rows that need nothing from the few that have to be looked up, and which records have no
/// row any more.
class KnownRecords {
 public:
  struct Entry {
    std::uint64_t key = 0;  // hash_of_key
    std::uint64_t text_hash = 0;
    std::uint64_t last_updated = 0;  // hash
    std::int64_t record = 0;         // of the sidecar
    std::int32_t model = 0;
    RecordState state = RecordState::kEmbedded;
    bool same_rules = false;  // governed by the rules in force
    bool damaged = false;
    bool seen = false;  // its row is there
  };

  KnownRecords() = default;
  KnownRecords(Sidecar& sidecar, std::string_view store, std::string_view rules_version);

  /// The entry of this record, marked as seen; null: not known.
  Entry* see(const RecordKey& key);
  /// The keys of records that were not seen: their rows are gone.
  std::vector<RecordKey> unseen(Sidecar& sidecar) const;
  std::size_t num_unseen(RecordState state) const;

 private:
  static constexpr std::uint32_t kNobody = ~std::uint32_t{0};
  std::size_t place_of(std::uint64_t hash) const;

  std::vector<Entry> entries_;
  std::vector<std::uint32_t>
      places_;  // by hash: of entries_; twice as many or more, a power of two
};

std::uint64_t hash_of_last_updated(std::string_view last_updated);

}  // namespace nearlite
