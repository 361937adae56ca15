#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/embeddable/record.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// Which record each slot of a store belongs to, in memory (some 35 bytes per slot): a question
/// looks at hundreds of slots, and asking the sidecar for each would cost more than the search.
/// What it says of a slot stays true for as long as the slot lives, since slots are never used
/// again; removed ones stay in it. Immutable: any number of threads may read one.
class SlotDirectory {
 public:
  /// All slots of the store. Belongs into a read transaction, as the others.
  static std::shared_ptr<const SlotDirectory> of_store(Sidecar& sidecar, const std::string& store);
  /// The records of these slots only, each with all its slots.
  static std::shared_ptr<const SlotDirectory> of_slots(Sidecar& sidecar,
                                                       std::span<const std::int64_t> slots);
  /// Also those that were written since; costs as much as there are new ones, by and large.
  std::shared_ptr<const SlotDirectory> with_newer(Sidecar& sidecar, const std::string& store) const;

  /// A number below num_records(); nothing for a slot that is not here.
  std::optional<std::size_t> record_of(std::int64_t slot) const;
  RecordKey key_of(std::size_t record) const;
  std::span<const std::int64_t> slots_of(std::size_t record) const;

  std::size_t num_records() const noexcept;
  std::size_t num_slots() const noexcept;
  std::size_t bytes() const noexcept;

 private:
  struct Part;
  struct Place {
    const Part* part;
    std::size_t index;
  };
  Place place_of(std::size_t record) const;
  void append(std::shared_ptr<const Part> part);

  std::vector<std::shared_ptr<const Part>> parts_;  // by slot; each later one is much smaller
  std::vector<std::size_t> first_record_;           // of each part
};

}  // namespace nearlite
