#include "slot_directory.h"

#include <algorithm>
#include <utility>

#include "nearlite/base/ascending.h"

namespace nearlite {

/// The slots of one stretch, in two orders: ascending, and by record.
struct SlotDirectory::Part {
  std::vector<std::int64_t> slots;       // ascending
  std::vector<std::uint32_t> records;    // of each of them
  std::vector<std::int64_t> by_record;   // the same slots, those of a record side by side
  std::vector<std::uint32_t> slots_end;  // by record: in by_record
  std::string keys;                      // all record keys, one after the other
  std::vector<std::uint64_t> key_end;    // by record: in keys
  std::vector<std::uint32_t> tables;     // by record: in table_names
  std::vector<std::string> table_names;
  std::int64_t last_record = 0;  // while it is made

  void add(const SlotPlace& place) {
    if (slots_end.empty() || place.record != last_record) {
      last_record = place.record;
      slots_end.push_back(static_cast<std::uint32_t>(by_record.size()));
      keys += place.key;
      key_end.push_back(keys.size());
      tables.push_back(table_of(place.table));
    }
    by_record.push_back(place.slot);
    ++slots_end.back();
  }

  std::uint32_t table_of(std::string_view name) {
    const auto found = std::ranges::find(table_names, name);
    if (found != table_names.end()) return static_cast<std::uint32_t>(found - table_names.begin());
    table_names.emplace_back(name);
    return static_cast<std::uint32_t>(table_names.size() - 1);
  }

  /// After the last add().
  void sort() {
    std::vector<std::pair<std::int64_t, std::uint32_t>> order;
    order.reserve(by_record.size());
    std::uint32_t record = 0;
    for (std::size_t i = 0; i < by_record.size(); ++i) {
      while (slots_end[record] <= i) ++record;
      order.emplace_back(by_record[i], record);
    }
    std::ranges::sort(order);
    slots.reserve(order.size());
    records.reserve(order.size());
    for (const auto& [slot, owner] : order) {
      slots.push_back(slot);
      records.push_back(owner);
    }
  }

  /// This part and one of later slots.
  std::shared_ptr<const Part> joined(const Part& later) const {
    auto both = std::make_shared<Part>(*this);
    const auto num_records = static_cast<std::uint32_t>(key_end.size());
    both->slots.insert(both->slots.end(), later.slots.begin(), later.slots.end());
    for (const std::uint32_t record : later.records) both->records.push_back(num_records + record);
    both->by_record.insert(both->by_record.end(), later.by_record.begin(), later.by_record.end());
    for (const std::uint32_t end : later.slots_end)
      both->slots_end.push_back(static_cast<std::uint32_t>(by_record.size()) + end);
    both->keys += later.keys;
    for (const std::uint64_t end : later.key_end) both->key_end.push_back(keys.size() + end);
    for (const std::uint32_t table : later.tables)
      both->tables.push_back(both->table_of(later.table_names[table]));
    return both;
  }

  std::size_t bytes() const {
    return slots.capacity() * sizeof(std::int64_t) + by_record.capacity() * sizeof(std::int64_t) +
           (records.capacity() + slots_end.capacity() + tables.capacity()) * sizeof(std::uint32_t) +
           key_end.capacity() * sizeof(std::uint64_t) + keys.capacity();
  }
};

std::shared_ptr<const SlotDirectory> SlotDirectory::of_store(Sidecar& sidecar,
                                                             const std::string& store) {
  auto directory = std::make_shared<SlotDirectory>();
  auto part = std::make_shared<Part>();
  sidecar.scan_slots(store, 0, [&](const SlotPlace& place) { part->add(place); });
  part->sort();
  directory->append(std::move(part));
  return directory;
}

std::shared_ptr<const SlotDirectory> SlotDirectory::of_slots(Sidecar& sidecar,
                                                             std::span<const std::int64_t> slots) {
  auto directory = std::make_shared<SlotDirectory>();
  auto part = std::make_shared<Part>();
  std::vector<std::int64_t> known;  // ascending
  for (const std::int64_t slot : slots) {
    if (std::ranges::binary_search(known, slot)) continue;
    sidecar.scan_slots_beside(slot, [&](const SlotPlace& place) {
      part->add(place);
      known.insert(std::ranges::upper_bound(known, place.slot), place.slot);
    });
  }
  part->sort();
  directory->append(std::move(part));
  return directory;
}

std::shared_ptr<const SlotDirectory> SlotDirectory::with_newer(Sidecar& sidecar,
                                                               const std::string& store) const {
  auto directory = std::make_shared<SlotDirectory>(*this);
  auto part = std::make_shared<Part>();
  std::int64_t last = 0;
  for (const auto& known : parts_) {
    if (!known->slots.empty()) last = known->slots.back();
  }
  sidecar.scan_slots(store, last, [&](const SlotPlace& place) { part->add(place); });
  part->sort();
  directory->append(std::move(part));
  return directory;
}

/// Parts of about the same size become one, so that there are few of them and each slot is copied
/// few times.
void SlotDirectory::append(std::shared_ptr<const Part> part) {
  if (part->slots.empty()) return;
  while (!parts_.empty() && parts_.back()->slots.size() <= 2 * part->slots.size()) {
    part = parts_.back()->joined(*part);
    parts_.pop_back();
    first_record_.pop_back();
  }
  first_record_.push_back(num_records());
  parts_.push_back(std::move(part));
}

std::optional<std::size_t> SlotDirectory::record_of(std::int64_t slot) const {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const std::span<const std::int64_t> slots = parts_[i]->slots;
    if (slot > slots.back()) continue;
    const std::size_t at = find_ascending(slots, slot);
    if (at == slots.size()) return std::nullopt;
    return first_record_[i] + parts_[i]->records[at];
  }
  return std::nullopt;
}

SlotDirectory::Place SlotDirectory::place_of(std::size_t record) const {
  std::size_t i = parts_.size() - 1;
  while (first_record_[i] > record) --i;
  return {parts_[i].get(), record - first_record_[i]};
}

RecordKey SlotDirectory::key_of(std::size_t record) const {
  const auto [part, index] = place_of(record);
  const std::uint64_t begin = index == 0 ? 0 : part->key_end[index - 1];
  RecordKey key;
  key.json = part->keys.substr(begin, part->key_end[index] - begin);
  key.table = part->table_names[part->tables[index]];
  return key;
}

std::span<const std::int64_t> SlotDirectory::slots_of(std::size_t record) const {
  const auto [part, index] = place_of(record);
  const std::uint32_t begin = index == 0 ? 0 : part->slots_end[index - 1];
  return std::span(part->by_record).subspan(begin, part->slots_end[index] - begin);
}

std::size_t SlotDirectory::num_records() const noexcept {
  return parts_.empty() ? 0 : first_record_.back() + parts_.back()->key_end.size();
}

std::size_t SlotDirectory::num_slots() const noexcept {
  std::size_t count = 0;
  for (const auto& part : parts_) count += part->slots.size();
  return count;
}

std::size_t SlotDirectory::bytes() const noexcept {
  std::size_t bytes = 0;
  for (const auto& part : parts_) bytes += part->bytes();
  return bytes;
}

}  // namespace nearlite
