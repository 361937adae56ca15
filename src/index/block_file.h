#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "nearlite/base/files.h"
#include "nearlite/base/map_guard.h"
#include "nearlite/base/memory_budget.h"
#include "nearlite/index/segment.h"

namespace nearlite {

// The frame that all files of ours share (docs/formats/segment-file.md): header, sections, a hash
// of every 64 KiB, footer. All numbers are little-endian, as on every machine we run on.
inline constexpr std::uint64_t kBlockBytes = 65'536;
inline constexpr std::uint64_t kSectionAlignment = 64;
inline constexpr std::size_t kMaxNameBytes = 4096;
inline constexpr std::size_t kMaxSections = 64;

/// What tells one kind of file from another.
struct BlockFileKind {
  std::string_view magic;  // 8 bytes, at the start
  std::string_view end;    // 8 bytes, at the end
  std::uint32_t version;
  const char* name;  // for messages: "segment"
};

struct BlockFileHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = 0;
  std::uint32_t header_bytes = 0;  // with sections, names, padding and the hash at its end
  std::uint64_t file_bytes = 0;
  std::uint64_t rows = 0;
  std::uint32_t dim = 0;
  std::uint32_t metric = 1;  // 1: cosine
  std::uint64_t generation = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t num_sections = 0;
  std::uint32_t store_bytes = 0;
  std::uint32_t model_bytes = 0;
};
static_assert(sizeof(BlockFileHeader) == 64);

struct SectionEntry {
  std::uint32_t kind = 0;
  std::uint32_t reserved = 0;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
};
static_assert(sizeof(SectionEntry) == 24);

// After the hashes of the blocks.
struct BlockFileFooter {
  std::uint64_t table_hash = 0;  // XXH3 of the block hashes
  std::uint64_t file_bytes = 0;
  std::array<char, 8> end{};
};
static_assert(sizeof(BlockFileFooter) == 24);

/// One section to write.
struct FileSection {
  std::uint32_t kind;
  std::span<const std::byte> bytes;
};

/// Writes a whole file; the caller commits it. Throws InvalidArgument if a name of `info` is too
/// long, or Unavailable.
SegmentDigest write_block_file(AtomicFile& file, const BlockFileKind& kind, const SegmentInfo& info,
                               std::uint64_t rows, std::span<const FileSection> sections);

/// A mapped file of one kind. Header, footer and structure are checked when it is opened; blocks
/// when verify() first touches them in this process. Thread-safe. Everything that is wrong throws
/// CorruptData, naming file and block.
class BlockFile {
 public:
  /// Throws NotFound, Unavailable, or CorruptData.
  BlockFile(std::filesystem::path file, const BlockFileKind& kind,
            const SegmentExpectation& expectation, std::shared_ptr<MemoryBudget> budget = nullptr);

  const std::filesystem::path& path() const noexcept { return path_; }
  const SegmentInfo& info() const noexcept { return info_; }
  const SegmentDigest& digest() const noexcept { return digest_; }
  std::uint64_t rows() const noexcept { return digest_.rows; }
  std::span<const std::byte> bytes() const noexcept { return mapped_.bytes(); }

  bool has_section(std::uint32_t kind) const;
  /// The section's values, not verified. Throws CorruptData if there are not `count` of them.
  template <typename T>
  std::span<const T> section(std::uint32_t kind, std::uint64_t count) const {
    const auto found = section_bytes(kind);
    if (count > found.size() / sizeof(T) || found.size() != count * sizeof(T)) fail_section(kind);
    return {reinterpret_cast<const T*>(found.data()), count};
  }
  /// Throws CorruptData if there is none, or it is not inside the file.
  std::span<const std::byte> section_bytes(std::uint32_t kind) const;

  /// Compares the blocks that hold these values with their hashes, each once per process.
  template <typename T>
  void verify(std::span<const T> values) const {
    if (values.empty()) return;
    const auto* start = reinterpret_cast<const std::byte*>(values.data());
    verify_range(static_cast<std::uint64_t>(start - mapped_.bytes().data()), values.size_bytes());
  }
  void verify_all() const { verify_range(0, covered_); }
  /// Gives the pages of the file back to the system if they do not fit the memory budget: call it
  /// after every few megabytes that were read. What was verified stays verified.
  void keep_to_budget() const noexcept;
  /// The same in any case.
  void drop_pages() const noexcept;
  /// Bytes of blocks that verify() touched since pages were dropped.
  std::uint64_t touched_bytes() const noexcept { return touched_.load() * kBlockBytes; }
  /// Throws if the file was written to or cut since it was opened, also if that happened while
  /// somebody read it: ask before use, and again before what was read is believed.
  void check_unchanged() const;

  [[noreturn]] void fail(const std::string& what) const;

 private:
  template <typename T>
  T read(std::uint64_t offset) const;
  [[noreturn]] void fail_section(std::uint32_t kind) const;
  void read_header();
  void read_footer();
  void check_header();
  void read_names();
  void check_expectation(const SegmentExpectation& expectation) const;
  void verify_range(std::uint64_t offset, std::uint64_t size) const;
  SectionEntry entry(std::uint32_t i) const;

  std::filesystem::path path_;
  const BlockFileKind& kind_;
  MappedFile mapped_;
  MapGuard guard_;
  BlockFileHeader header_;
  BlockFileFooter footer_;
  SegmentInfo info_;
  SegmentDigest digest_;
  std::uint64_t covered_ = 0;  // bytes before the block hashes
  std::span<const std::uint64_t> block_hashes_;
  static constexpr std::uint8_t kVerified = 1;  // its hash was right
  static constexpr std::uint8_t kTouched = 2;   // since pages were dropped
  std::unique_ptr<std::atomic<std::uint8_t>[]> blocks_;
  mutable std::atomic<std::uint64_t> touched_ = 0;  // blocks
  mutable std::atomic<bool> over_budget_ = false;
  mutable MemoryBudget::Share share_;  // of the touched blocks
};

}  // namespace nearlite
