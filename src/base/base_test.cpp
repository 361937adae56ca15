#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <span>
#include <vector>

#include "nearlite/base/ascending.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/cpu.h"
#include "nearlite/base/entropy.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

std::filesystem::path fresh_folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "nearlite-base-XXXXXX").string();
  return ::mkdtemp(pattern.data());
}

TEST(Ascending, FindsWhatIsThereAndNothingElse) {
  std::vector<std::int64_t> values;
  for (std::int64_t value = -40; value < 4000; value += value % 7 == 0 ? 13 : 1)
    values.push_back(value);
  values.push_back(std::numeric_limits<std::int64_t>::max());
  const std::span<const std::int64_t> all = values;
  for (std::size_t count = 0; count <= values.size(); count += count < 20 ? 1 : 37) {
    const auto some = all.first(count);
    for (std::int64_t value = -50; value < 4100; ++value) {
      const auto at = std::ranges::find(some, value);
      EXPECT_EQ(find_ascending(some, value), static_cast<std::size_t>(at - some.begin()));
    }
  }
  EXPECT_EQ(find_ascending(all, values.back()), values.size() - 1);
}

TEST(Utf8, AcceptsWhatIsValidAndPointsAtWhatIsNot) {
  EXPECT_EQ(find_invalid_utf8(std::string_view("a\0\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 11)),
            std::nullopt);
  EXPECT_EQ(find_invalid_utf8("ab\x80"), 2);             // a lone continuation
  EXPECT_EQ(find_invalid_utf8("\xC0\xAF"), 0);           // overlong
  EXPECT_EQ(find_invalid_utf8("x\xED\xA0\x80"), 1);      // surrogate
  EXPECT_EQ(find_invalid_utf8("x\xF4\x90\x80\x80"), 1);  // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("xy\xE2\x82"), 2);         // cut
}

TEST(Utf8, ACutCodePointIsNotReadBehindTheEnd) {
  for (const std::string_view text : {"\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xE5"}) {
    std::size_t at = 0;
    EXPECT_EQ(next_code_point(text, at), U'\xFFFD');
    EXPECT_EQ(at, 1U);
  }
}

TEST(Utf8, EveryCodePointSurvivesTheRoundTrip) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code);
    std::size_t at = 0;
    ASSERT_EQ(find_invalid_utf8(text), std::nullopt);
    ASSERT_EQ(next_code_point(text, at), code);
    ASSERT_EQ(at, text.size());
  }
}

TEST(Utf8, PrefixNeverCutsACharacter) {
  EXPECT_EQ(utf8_prefix("a\xE2\x82\xAC", 3), "a");
  EXPECT_EQ(utf8_prefix("abc", 3), "abc");
}

TEST(Files, AnUncommittedFileLeavesTheOldContentAndNoTrace) {
  const auto folder = fresh_folder();
  const auto file = folder / "x";
  {
    AtomicFile out(file);
    out.write("old");
    out.commit();
  }
  {
    AtomicFile out(file);
    out.write("new");
  }
  EXPECT_EQ(read_file(file), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

TEST(Files, AMappedFileOutlivesItsReplacement) {
  const auto folder = fresh_folder();
  for (const char* content : {"old", "new"}) {
    static const MappedFile* first = nullptr;
    AtomicFile out(folder / "x");
    out.write(content);
    out.commit();
    if (first == nullptr) first = new MappedFile(folder / "x");  // lives to the end of the process
    EXPECT_EQ(static_cast<char>(first->bytes()[0]), 'o');
  }
  std::filesystem::remove_all(folder);
}

TEST(Files, AFifoIsRefusedWithoutWaiting) {
  const auto folder = fresh_folder();
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(read_file(folder / "pipe"), CorruptData);
  EXPECT_THROW(MappedFile(folder / "pipe"), CorruptData);
  EXPECT_THROW(read_file(folder / "missing"), NotFound);
  EXPECT_EQ(stamp_of(folder / "missing"), std::nullopt);
  std::filesystem::remove_all(folder);
}

TEST(Files, AFileOverTheLimitIsRefusedBeforeItIsRead) {
  const auto folder = fresh_folder();
  AtomicFile out(folder / "x");
  out.write("12345");
  out.commit();
  EXPECT_THROW(read_file(folder / "x", 4), CorruptData);
  std::filesystem::remove_all(folder);
}

TEST(Checksum, KnownAnswers) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(xxh3_64(""), 0x2d06800538d394c2U);
  EXPECT_NE(xxh3_64("abc"), xxh3_64("abd"));
}

TEST(Time, RoundTripAndRefusals) {
  const std::string text = "2026-02-28T23:59:58.125Z";
  EXPECT_EQ(rfc3339(parse_rfc3339(text)), text);
  EXPECT_EQ(rfc3339(parse_rfc3339("2026-02-28")), "2026-02-28T00:00:00.000Z");
  EXPECT_EQ(rfc3339(parse_rfc3339("2026-02-28T01:00:00+01:00")), "2026-02-28T00:00:00.000Z");
  for (const char* bad : {"", "yesterday", "2026-13-01", "2026-02-28T25:00:00Z", "2026-02-28Tx"}) {
    EXPECT_THROW(parse_rfc3339(bad), InvalidArgument) << bad;
  }
}

TEST(Names, TheNearestKnownNameIsOffered) {
  const std::vector<std::string> known{"bot", "workflow", "enhancement"};
  EXPECT_EQ(nearest_name("workflo", known), "workflow");
  EXPECT_EQ(nearest_name("Bots", known), "bot");
  EXPECT_EQ(nearest_name("zzzzzz", known), std::nullopt);
}

TEST(Errors, AnErrnoBecomesTheRightKind) {
  EXPECT_THROW(throw_errno("open", ENOENT), NotFound);
  EXPECT_THROW(throw_errno("open", ENOSPC), Unavailable);
  EXPECT_THROW(throw_errno("open", EACCES), Unavailable);
}

TEST(Entropy, IsInBitsPerByte) {
  EXPECT_DOUBLE_EQ(shannon_entropy("aaaa"), 0);
  EXPECT_DOUBLE_EQ(shannon_entropy("abcd"), 2);
}

TEST(Cpu, AtLeastOneProcessor) { EXPECT_GE(available_cpus(), 1U); }

}  // namespace
}  // namespace nearlite
