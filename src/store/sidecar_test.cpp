#include "nearlite/store/sidecar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>

#include "file_system.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/store/lease.h"
#include "nearlite_test/read_only.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SidecarFile : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_ / "notes.sqlite"; }
  std::unique_ptr<Sidecar> open() {
    return std::make_unique<Sidecar>(path(), SidecarOptions{.create = true});
  }
  void write_file_of(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  void write_file(const std::string& bytes) { std::ofstream(path(), std::ios::binary) << bytes; }

  static std::int64_t model(Sidecar& sidecar, const std::string& store = "notes",
                            const std::string& identity = "m1") {
    return sidecar.put_model(store, {.name = "test model", .identity = identity, .dim = 2});
  }
  static RecordWrite note(const std::string& key, std::int64_t model, std::span<const float> vector,
                          std::uint64_t text_hash = 1, const std::string& store = "notes") {
    static std::vector<std::string> kept;  // keys are borrowed
    kept.reserve(1000);
    kept.push_back(key);
    kept.push_back(store);
    RecordWrite write;
    write.key = {kept[kept.size() - 1], "", kept[kept.size() - 2]};
    write.model = model;
    write.text_hash = text_hash;
    write.passages = {{.text_begin = 0, .text_end = 5, .text_hash = text_hash, .vector = vector}};
    return write;
  }
  static std::vector<std::int64_t> live_slots(Sidecar& sidecar,
                                              const std::string& store = "notes") {
    std::vector<std::int64_t> slots;
    sidecar.scan_vectors(store, "m1", 0, INT64_MAX, [&](const VectorRow& row) {
      if (row.intact) slots.push_back(row.slot);
    });
    return slots;
  }
  void flip_a_vector() {
    Connection db = Connection::open(path(), false);
    db.execute("UPDATE vector SET vector = x'0000803f0000803f' WHERE slot = 1");
  }

  const TemporaryFolder temporary_{FolderPlace::kMemory};
  const std::filesystem::path folder_ = temporary_.path();
  const std::vector<float> east_ = {1, 0};
  const std::vector<float> north_ = {0, 1};
};

TEST_F(SidecarFile, GivesVectorsBackBitForBitAfterReopening) {
  const std::vector<float> odd = {1e-42F, -0.0F};
  {
    auto sidecar = open();
    Transaction transaction = sidecar->begin();
    sidecar->put_record(note("1", model(*sidecar), odd));
    transaction.commit();
  }
  const auto vector = open()->vector_of({"notes", "", "1"});
  ASSERT_TRUE(vector);
  for (std::size_t i = 0; i < 2; ++i)  // bits, since -0 equals 0
    EXPECT_EQ(std::bit_cast<std::uint32_t>((*vector)[i]), std::bit_cast<std::uint32_t>(odd[i]));
}

TEST_F(SidecarFile, PreparesAStatementOnce) {
  const auto sidecar = open();
  const auto statements = [&] {
    std::size_t count = 0;
    for (sqlite3_stmt* one = nullptr;
         (one = sqlite3_next_stmt(sidecar->connection().handle(), one)) != nullptr;)
      ++count;
    return count;
  };
  const auto use = [&] {
    sidecar->scan_records("note", [](const RecordBrief&) {});
    sidecar->read_record(1, [](const RecordBrief&) {});
    EXPECT_TRUE(sidecar->released("note").empty());
    EXPECT_TRUE(sidecar->erased("note").empty());
  };
  use();
  const std::size_t first = statements();
  for (int i = 0; i < 20; ++i) use();
  EXPECT_EQ(statements(), first);
}

TEST_F(SidecarFile, ReplacingARecordGivesItANewSlotAndRemembersTheOldOne) {
  auto sidecar = open();
  Transaction transaction = sidecar->begin();
  const std::int64_t m = model(*sidecar);
  EXPECT_THAT(sidecar->put_record(note("1", m, east_)), ElementsAre(1));
  EXPECT_THAT(sidecar->put_record(note("2", m, east_)), ElementsAre(2));
  EXPECT_THAT(sidecar->put_record(note("1", m, north_, 2)), ElementsAre(3));
  transaction.commit();
  EXPECT_THAT(live_slots(*sidecar), ElementsAre(2, 3));
  const auto removals = sidecar->removals("notes", 0);
  ASSERT_EQ(removals.size(), 1U);
  EXPECT_EQ(removals[0].slot, 1);
  EXPECT_EQ(*sidecar->vector_of({"notes", "", "1"}), north_);
  EXPECT_EQ(sidecar->find_record({"notes", "", "1"})->text_hash, 2U);
}

TEST_F(SidecarFile, NeverUsesASlotTwice) {
  auto sidecar = open();
  Transaction transaction = sidecar->begin();
  const std::int64_t m = model(*sidecar);
  sidecar->put_record(note("1", m, east_));
  sidecar->remove_record({"notes", "", "1"});
  EXPECT_THAT(sidecar->put_record(note("2", m, east_)), ElementsAre(2));
}

TEST_F(SidecarFile, KeepsStoresAndSourceTablesApart) {
  auto sidecar = open();
  Transaction transaction = sidecar->begin();
  sidecar->put_record(note("1", model(*sidecar, "info"), east_, 1, "info"));
  sidecar->put_record(note("1", model(*sidecar, "information"), north_, 2, "information"));
  RecordWrite telemetry = note("1", model(*sidecar, "info"), north_, 3, "info");
  telemetry.key.table = "telemetry";
  sidecar->put_record(telemetry);
  transaction.commit();
  EXPECT_EQ(*sidecar->vector_of({"info", "", "1"}), east_);
  EXPECT_EQ(*sidecar->vector_of({"information", "", "1"}), north_);
  EXPECT_EQ(*sidecar->vector_of({"info", "telemetry", "1"}), north_);
  EXPECT_THAT(live_slots(*sidecar, "info"), ElementsAre(1, 3));
  EXPECT_THAT(live_slots(*sidecar, ""), ElementsAre(1, 2, 3));
  EXPECT_THAT(sidecar->stores(), ElementsAre("info", "information"));
}

TEST_F(SidecarFile, NoticesAFlippedVector) {
  {
    auto sidecar = open();
    Transaction transaction = sidecar->begin();
    sidecar->put_record(note("1", model(*sidecar), east_));
    transaction.commit();
  }
  flip_a_vector();
  auto sidecar = open();
  EXPECT_THAT(live_slots(*sidecar), IsEmpty());
  EXPECT_THROW(sidecar->vector_of({"notes", "", "1"}), CorruptData);
}

TEST_F(
    SidecarFile,
    KeepsTheChecksumOfTheDocument) {  // docs/formats/sidecar.md: files of today are read tomorrow
  auto sidecar = open();
  Transaction transaction = sidecar->begin();
  sidecar->put_record(note("1", model(*sidecar), east_));
  Statement row = sidecar->connection().prepare("SELECT checksum, hex(vector) FROM vector");
  row.step();
  EXPECT_EQ(row.int64(0), -4668030018517038983);
  EXPECT_EQ(row.text(1), "0000803F00000000");
}

TEST_F(SidecarFile, NoticesAVectorThatMovedToAnotherRecord) {
  {
    auto sidecar = open();
    Transaction transaction = sidecar->begin();
    sidecar->put_record(note("1", model(*sidecar), east_));
    transaction.commit();
  }
  Connection::open(path(), false).execute("UPDATE record SET record_key = '2'");
  EXPECT_THAT(live_slots(*open()), IsEmpty());
}

TEST_F(SidecarFile, RefusesVectorsThatAreNotNumbersOrDoNotFitTheModel) {
  auto sidecar = open();
  Transaction transaction = sidecar->begin();
  const std::int64_t m = model(*sidecar);
  const std::vector<float> nan = {std::nanf(""), 0};
  const std::vector<float> three = {1, 2, 3};
  EXPECT_THROW(sidecar->put_record(note("1", m, nan)), InvalidArgument);
  EXPECT_THROW(sidecar->put_record(note("1", m, three)), InvalidArgument);
}

TEST_F(SidecarFile, DoesNotTouchFilesOfOthers) {
  const auto expect_untouched = [&](const std::string& what) {
    const std::string before = sha256_of_file(path());
    try {
      open();
      ADD_FAILURE() << "opened " << what;
    } catch (const CorruptData& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
    EXPECT_EQ(sha256_of_file(path()), before);
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++files;
    EXPECT_EQ(files, 1U) << "left something beside " << what;
    std::filesystem::remove(path());
  };
  write_file("hello, this is a letter and not a database");
  expect_untouched("no SQLite database");
  {
    Connection db = Connection::open(path(), true);
    db.execute("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  }
  expect_untouched("another program");
  {
    Connection db = Connection::open(path(), true);
    db.execute("PRAGMA application_id = 0x6e6c7465; PRAGMA user_version = 2; CREATE TABLE t(x)");
  }
  expect_untouched("newer version");
}

TEST_F(SidecarFile, StartsAgainFromAnEmptyFileThatACutOffStartLeft) {
  write_file("");
  EXPECT_THAT(open()->stores(), IsEmpty());
}

TEST_F(SidecarFile, IsNotMadeUnlessAsked) {
  EXPECT_THROW(Sidecar sidecar(path()), NotFound);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(SidecarFile, TakesTheModeOfTheDatabase) {
  const auto database = folder_ / "app.db";
  std::ofstream(database) << "x";
  ::chmod(database.c_str(), 0600);
  const Sidecar sidecar(path(), {.create = true, .like = database});
  struct stat status {};
  ::stat(path().c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(SidecarFile, OpensAndClosesWithoutDroppingTheLocksOfTheSameProcess) {
  auto first = open();
  Transaction transaction = first->begin();
  { auto second = open(); }
  const pid_t child = ::fork();
  if (child == 0) {  // another process must still see the write lock
    sqlite3* db = nullptr;
    sqlite3_open(path().c_str(), &db);
    ::_exit(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_BUSY ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(SidecarFile, KeepsRemovalsThatAFileStillNeeds) {
  auto sidecar = open();
  Transaction transaction = sidecar->begin();
  const std::int64_t m = model(*sidecar);
  sidecar->put_record(note("1", m, east_));
  sidecar->put_record(note("2", m, east_));
  DerivedFile segment{.store = "notes",
                      .kind = "segment",
                      .file = "s",
                      .generation = 1,
                      .last_slot = 2,
                      .last_change = sidecar->last_change(),
                      .count = 2};
  sidecar->put_derived_file(segment);
  sidecar->remove_record({"notes", "", "1"});
  sidecar->prune_removals();
  EXPECT_EQ(sidecar->removals("notes", segment.last_change).size(), 1U);
  segment.last_change = sidecar->last_change();
  segment.generation = 2;
  sidecar->put_derived_file(segment);
  sidecar->prune_removals();
  EXPECT_THAT(sidecar->removals("notes", 0), IsEmpty());
  EXPECT_EQ(sidecar->derived_file("notes", "segment")->generation, 2);
}

TEST_F(SidecarFile, LetsOneRunHoldAStore) {
  auto one = open();
  auto two = open();
  {
    const Lease lease(*one, "notes", std::chrono::milliseconds{0});
    try {
      const Lease other(*two, "notes", std::chrono::milliseconds{0});
      ADD_FAILURE() << "two runs at once";
    } catch (const Unavailable& error) {
      EXPECT_THAT(error.what(), HasSubstr("process " + std::to_string(::getpid())));
    }
    const Lease unrelated(*two, "tasks", std::chrono::milliseconds{0});
  }
  const Lease after(*two, "notes", std::chrono::milliseconds{0});
}

TEST_F(SidecarFile, ALeaseIsTakenOverWhenItsProcessIsGone) {
  auto sidecar = open();
  auto lease = std::make_unique<Lease>(*sidecar, "notes", std::chrono::milliseconds{0});
  sidecar->connection().execute(
      "UPDATE lease SET process_start = process_start + 1");  // the number was given anew
  const Lease next(*sidecar, "notes", std::chrono::milliseconds{0});
  Transaction transaction = sidecar->begin();
  EXPECT_THROW(lease->renew(*sidecar), Unavailable);
}

TEST_F(SidecarFile, ALockedFileIsUnavailable) {
  auto one = open();
  auto two = open();
  sqlite3_busy_timeout(two->connection().handle(), 10);
  const Transaction holding = one->begin();
  EXPECT_THROW(two->begin(), Unavailable);
}

TEST_F(SidecarFile, AFullDiskIsUnavailableAndLosesNothing) {
  auto sidecar = open();
  const std::int64_t m = [&] {
    Transaction transaction = sidecar->begin();
    const std::int64_t id = model(*sidecar);
    sidecar->put_record(note("1", id, east_));
    transaction.commit();
    return id;
  }();
  sidecar->connection().execute(
      "PRAGMA max_page_count = 1");  // SQLite then answers SQLITE_FULL as on a full disk
  EXPECT_THROW(
      {
        Transaction transaction = sidecar->begin();
        for (int i = 0; i < 500; ++i) sidecar->put_record(note("k" + std::to_string(i), m, north_));
        transaction.commit();
      },
      Unavailable);
  EXPECT_THAT(live_slots(*sidecar), ElementsAre(1));
}

TEST(NetworkFileSystem, IsKnownByItsNumber) {
  EXPECT_EQ(network_name_of(0x6969), "NFS");
  EXPECT_EQ(network_name_of(static_cast<unsigned long>(static_cast<int>(0xff534d42))), "SMB");
  EXPECT_EQ(network_name_of(0xef53), "");  // ext4
  EXPECT_EQ(network_file_system("/proc/self/does/not/exist"), "");
}

TEST_F(SidecarFile, IsReadWhereNothingCanBeWritten) {
  {
    const auto sidecar = open();
    Transaction transaction = sidecar->begin();
    sidecar->put_record(note("1", model(*sidecar), east_));
    transaction.commit();
  }
  EXPECT_TRUE(holds_read_only(folder_, [&] {
    Sidecar reading(path());
    return live_slots(reading).size() == 1 && reading.num_embedded("notes") == 1;
  }));
  EXPECT_TRUE(holds_read_only(folder_, [&] {
    try {
      open();
      return false;
    } catch (const Unavailable& refused) {
      return std::string(refused.what()).find("read-only") != std::string::npos;
    }
  }));
  write_file_of("notes.sqlite-wal", "left by a run that was killed");
  EXPECT_TRUE(holds_read_only(folder_, [&] {
    try {
      Sidecar reading(path());
      return false;
    } catch (const Unavailable& refused) {
      return std::string(refused.what()).find("notes.sqlite-wal") != std::string::npos;
    }
  }));
}

}  // namespace
}  // namespace nearlite
