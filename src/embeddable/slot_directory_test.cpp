// Which record each slot belongs to, from memory: it agrees with the sidecar through adds,
// replacements and removals, and many may read the sidecar at once.
#include "slot_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <random>
#include <thread>

#include "nearlite_test/temporary_folder.h"
#include "sidecar_readers.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAreArray;

class SlotDirectories : public testing::Test {
 protected:
  SlotDirectories() : sidecar_(folder_ / "s.sqlite", SidecarOptions{.create = true}) {}

  std::vector<std::int64_t> put(const std::string& key, std::size_t passages = 1,
                                const std::string& table = "", const std::string& store = "s") {
    Transaction transaction = sidecar_.begin();
    RecordWrite write;
    write.key = {store, table, key};
    write.model = sidecar_.put_model(store, {.name = "test", .identity = "m1", .dim = 2});
    write.passages.assign(passages, {.vector = east_});
    auto slots = sidecar_.put_record(write);
    transaction.commit();
    return slots;
  }

  /// Every live slot is said to belong to the record that the sidecar names, with all its slots.
  void expect_agreement(const SlotDirectory& directory) {
    sidecar_.for_each_slot("s", "", [&](const SlotInfo& info) {
      const auto record = directory.record_of(info.slot);
      ASSERT_TRUE(record.has_value()) << info.slot;
      EXPECT_EQ(directory.key_of(*record).json, info.key);
      EXPECT_EQ(directory.key_of(*record).table, info.table);
      const auto slots = directory.slots_of(*record);
      EXPECT_THAT(std::vector<std::int64_t>(slots.begin(), slots.end()),
                  UnorderedElementsAreArray(sidecar_.slots_of({"s", info.table, info.key})));
    });
  }

  const TemporaryFolder folder_{FolderPlace::kMemory};
  Sidecar sidecar_;
  const std::vector<float> east_ = {1, 0};
};

TEST_F(SlotDirectories, KnowTheRecordOfEverySlotAndTheSlotsOfEveryRecord) {
  const auto first = put("1", 3);
  const auto other = put("7", 1, "telemetry");
  put("1", 2, "", "another store");
  const auto directory = SlotDirectory::of_store(sidecar_, "s");
  EXPECT_EQ(directory->num_records(), 2U);
  EXPECT_EQ(directory->num_slots(), 4U);
  EXPECT_EQ(directory->key_of(*directory->record_of(other[0])).display(), "telemetry:7");
  const auto slots = directory->slots_of(*directory->record_of(first[1]));
  EXPECT_EQ(std::vector<std::int64_t>(slots.begin(), slots.end()), first);
  EXPECT_FALSE(directory->record_of(0).has_value());
  EXPECT_FALSE(directory->record_of(1000).has_value());
  expect_agreement(*directory);
}

TEST_F(SlotDirectories, OfAFewSlotsKnowTheirRecordsWhole) {
  const auto first = put("1", 3);
  put("2");
  const auto third = put("3", 2);
  const std::vector<std::int64_t> wanted = {third[1], first[0], third[0], 999};
  const auto directory = SlotDirectory::of_slots(sidecar_, wanted);
  EXPECT_EQ(directory->num_records(), 2U);
  const auto slots = directory->slots_of(*directory->record_of(first[2]));
  EXPECT_EQ(std::vector<std::int64_t>(slots.begin(), slots.end()), first);
  EXPECT_FALSE(directory->record_of(999).has_value());
}

TEST_F(SlotDirectories, OfAnEmptyStoreKnowNothing) {
  const auto directory = SlotDirectory::of_store(sidecar_, "s");
  EXPECT_EQ(directory->num_records(), 0U);
  EXPECT_FALSE(directory->record_of(1).has_value());
  put("1");
  expect_agreement(*directory->with_newer(sidecar_, "s"));
}

TEST_F(SlotDirectories, FollowAddsReplacementsAndRemovals) {
  std::minstd_rand random(5);
  auto directory = SlotDirectory::of_store(sidecar_, "s");
  for (int step = 0; step < 400; ++step) {
    const std::string key = std::to_string(random() % 60);
    if (random() % 4 == 0) {
      Transaction transaction = sidecar_.begin();
      sidecar_.remove_record({"s", "", key});
      transaction.commit();
    } else {
      put(key, 1 + random() % 3);
    }
    if (random() % 3 == 0) directory = directory->with_newer(sidecar_, "s");
  }
  directory = directory->with_newer(sidecar_, "s");
  expect_agreement(*directory);
  EXPECT_GT(directory->bytes(), directory->num_slots() * 16);
}

TEST_F(SlotDirectories, ReadersOfTheSidecarDoNotWaitForOneAnother) {
  put("1");
  SidecarReaders readers(folder_ / "s.sqlite", nullptr);
  std::latch both(2);  // reached only if the two are inside at the same time
  const auto meet = [&] {
    readers.read([&](Sidecar& sidecar) {
      both.arrive_and_wait();
      EXPECT_EQ(sidecar.num_embedded("s"), 1U);
    });
  };
  const std::jthread one(meet);
  meet();
}

TEST_F(SlotDirectories, ReadersSeeWhatWasWrittenAndGiveConnectionsBackAfterAFailure) {
  SidecarReaders none(folder_ / "missing.sqlite", nullptr);
  EXPECT_FALSE(none.read([](Sidecar&) { FAIL() << "there is no sidecar"; }));
  put("1");
  SidecarReaders readers(folder_ / "s.sqlite", nullptr);
  for (int i = 0; i < 40; ++i) {  // more often than there are connections
    EXPECT_THROW(readers.read([](Sidecar&) { throw std::runtime_error("stopped"); }),
                 std::runtime_error);
  }
  put("2");
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> many;
    for (int i = 0; i < 24; ++i) {
      many.emplace_back([&] {
        readers.read([&](Sidecar& sidecar) { wrong += sidecar.num_embedded("s") == 2 ? 0 : 1; });
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace nearlite
