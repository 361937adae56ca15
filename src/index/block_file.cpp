#include "block_file.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr const char* kHint = "the file is derived: delete it and it is rebuilt from the sidecar";

template <typename T>
std::string text_of(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return "'" + value + "'";
  } else {
    return std::to_string(value);
  }
}

}  // namespace

BlockFile::BlockFile(std::filesystem::path file, const BlockFileKind& kind,
                     const SegmentExpectation& expectation, std::shared_ptr<MemoryBudget> budget)
    : path_(std::move(file)),
      kind_(kind),
      mapped_(path_),
      guard_(mapped_.bytes().data(), mapped_.bytes().size()),
      share_(std::move(budget), "maps", [this] {
        drop_pages();
        return true;
      }) {
  read_header();
  read_footer();
  check_header();
  read_names();
  digest_ = {header_.rows, header_.file_bytes, footer_.table_hash};
  check_expectation(expectation);
  blocks_ = std::make_unique<std::atomic<std::uint8_t>[]>(block_hashes_.size());
  verify_range(0, 1);  // the header's block, so that damage in the padding behind it is found too
  check_unchanged();
}

void BlockFile::fail(const std::string& what) const {
  throw CorruptData(path_.string() + ": " + what, kHint);
}

void BlockFile::fail_section(std::uint32_t kind) const {
  fail(std::string(kind_.name) + " has no fitting section " + std::to_string(kind));
}

template <typename T>
T BlockFile::read(std::uint64_t offset) const {
  T value;
  std::memcpy(&value, mapped_.bytes().data() + offset, sizeof(T));
  return value;
}

void BlockFile::read_header() {
  const std::string name = kind_.name;
  const auto bytes = mapped_.bytes();
  if (bytes.empty()) fail(name + " file is empty");
  if (bytes.size() < kind_.magic.size() ||
      std::memcmp(bytes.data(), kind_.magic.data(), kind_.magic.size()) != 0) {
    fail("not a " + name + " file: it does not start with " +
         std::string(kind_.magic.substr(0, kind_.magic.find('\r'))));
  }
  if (bytes.size() < sizeof(BlockFileHeader) + sizeof(BlockFileFooter)) {
    fail(name + " file is cut off: " + std::to_string(bytes.size()) + " bytes");
  }
  header_ = read<BlockFileHeader>(0);
  if (header_.version > kind_.version) {
    throw CorruptData(path_.string() + ": " + name + " of version " +
                          std::to_string(header_.version) + ", this program reads up to " +
                          std::to_string(kind_.version),
                      "it was written by a newer nearlite: use that one");
  }
  if (header_.version == 0) fail(name + " header is damaged: version 0");
  if (header_.file_bytes != bytes.size()) {
    fail(name + " file has " + std::to_string(bytes.size()) + " bytes, its header says " +
         std::to_string(header_.file_bytes));
  }
}

void BlockFile::read_footer() {
  const std::string damaged = std::string(kind_.name) + " footer is damaged";
  const auto bytes = mapped_.bytes();
  footer_ = read<BlockFileFooter>(bytes.size() - sizeof(BlockFileFooter));
  if (std::memcmp(footer_.end.data(), kind_.end.data(), kind_.end.size()) != 0 ||
      footer_.file_bytes != bytes.size()) {
    fail(damaged);
  }
  // covered bytes + one hash per begun block = everything before the footer.
  const std::uint64_t before = bytes.size() - sizeof(BlockFileFooter);
  const std::uint64_t num_blocks = (before + kBlockBytes + 7) / (kBlockBytes + 8);
  if (header_.block_bytes != kBlockBytes || num_blocks * 8 >= before) fail(damaged);
  covered_ = before - num_blocks * 8;
  if (covered_ % kSectionAlignment != 0 ||
      (covered_ + kBlockBytes - 1) / kBlockBytes != num_blocks) {
    fail(damaged);
  }
  if (xxh3_64(bytes.subspan(covered_, num_blocks * 8)) != footer_.table_hash) {
    fail("block hashes of the " + std::string(kind_.name) + " are damaged");
  }
  block_hashes_ = {reinterpret_cast<const std::uint64_t*>(bytes.data() + covered_), num_blocks};
}

void BlockFile::check_header() {
  const std::string name = kind_.name;
  const std::uint64_t least = sizeof(BlockFileHeader) + sizeof(std::uint64_t);
  if (header_.header_bytes < least || header_.header_bytes > covered_ ||
      header_.header_bytes % kSectionAlignment != 0) {
    fail(name + " header is damaged");
  }
  const std::uint64_t hashed = header_.header_bytes - sizeof(std::uint64_t);
  if (xxh3_64(mapped_.bytes().first(hashed)) != read<std::uint64_t>(hashed)) {
    fail(name + " header is damaged");
  }
  const std::uint64_t table = std::uint64_t{header_.num_sections} * sizeof(SectionEntry);
  if (header_.num_sections > kMaxSections || header_.store_bytes > kMaxNameBytes ||
      header_.model_bytes > kMaxNameBytes ||
      sizeof(BlockFileHeader) + table + header_.store_bytes + header_.model_bytes > hashed) {
    fail(name + " header asks for more than it holds");
  }
  if (header_.metric != 1)
    fail(name + " of metric " + std::to_string(header_.metric) + ", cosine (1) is known");
  if (header_.dim == 0 || header_.dim > 65'536) {
    fail(name + " of " + std::to_string(header_.dim) + " dimensions, 1 to 65536 are possible");
  }
  // Every row takes at least 8 bytes, so this also keeps products of counts from overflowing.
  if (header_.rows > covered_ / 8) {
    fail(name + " of " + std::to_string(header_.rows) + " rows in " + std::to_string(covered_) +
         " bytes");
  }
}

void BlockFile::read_names() {
  const std::uint64_t at =
      sizeof(BlockFileHeader) + std::uint64_t{header_.num_sections} * sizeof(SectionEntry);
  const auto* text = reinterpret_cast<const char*>(mapped_.bytes().data());
  info_.store.assign(text + at, header_.store_bytes);
  info_.model_identity.assign(text + at + header_.store_bytes, header_.model_bytes);
  info_.generation = header_.generation;
  info_.dim = header_.dim;
}

void BlockFile::check_expectation(const SegmentExpectation& expectation) const {
  const auto expect = [&](const char* what, const auto& found, const auto& wanted) {
    if (!wanted || *wanted == found) return;
    throw CorruptData(
        path_.string() + ": " + kind_.name + " has " + what + " " + text_of(found) + ", expected " +
            text_of(*wanted),
        "the file belongs to another index: delete it and it is rebuilt from the sidecar");
  };
  expect("dimension", info_.dim, expectation.dim);
  expect("store", info_.store, expectation.store);
  expect("model", info_.model_identity, expectation.model_identity);
  expect("generation", info_.generation, expectation.generation);
  if (expectation.digest && *expectation.digest != digest_) {
    throw CorruptData(path_.string() + ": " + kind_.name + " is not the one that was recorded (" +
                          std::to_string(digest_.rows) + " rows, " +
                          std::to_string(digest_.file_bytes) + " bytes)",
                      "delete it and it is rebuilt from the sidecar");
  }
}

SectionEntry BlockFile::entry(std::uint32_t i) const {
  return read<SectionEntry>(sizeof(BlockFileHeader) + i * sizeof(SectionEntry));
}

bool BlockFile::has_section(std::uint32_t kind) const {
  for (std::uint32_t i = 0; i < header_.num_sections; ++i) {
    if (entry(i).kind == kind) return true;
  }
  return false;
}

std::span<const std::byte> BlockFile::section_bytes(std::uint32_t kind) const {
  for (std::uint32_t i = 0; i < header_.num_sections; ++i) {
    const SectionEntry found = entry(i);
    if (found.kind != kind) continue;
    if (found.offset % kSectionAlignment != 0 || found.offset < header_.header_bytes ||
        found.offset > covered_ || found.bytes > covered_ - found.offset) {
      break;
    }
    return mapped_.bytes().subspan(found.offset, found.bytes);
  }
  fail_section(kind);
}

void BlockFile::verify_range(std::uint64_t offset, std::uint64_t size) const {
  if (size == 0) return;
  const std::uint64_t last = (offset + size - 1) / kBlockBytes;
  std::uint64_t newly_touched = 0;
  for (std::uint64_t block = offset / kBlockBytes; block <= last; ++block) {
    const std::uint8_t state = blocks_[block].load(std::memory_order_acquire);
    if (state == (kVerified | kTouched)) continue;
    ++newly_touched;
    if ((state & kVerified) != 0) {
      blocks_[block].fetch_or(kTouched);
      continue;
    }
    const std::uint64_t start = block * kBlockBytes;
    const std::uint64_t bytes = std::min(kBlockBytes, covered_ - start);
    if (xxh3_64(mapped_.bytes().subspan(start, bytes)) != block_hashes_[block]) {
      fail("block " + std::to_string(block) + " (bytes " + std::to_string(start) + " to " +
           std::to_string(start + bytes - 1) + ") is damaged");
    }
    blocks_[block].store(kVerified | kTouched, std::memory_order_release);
  }
  if (newly_touched == 0) return;
  touched_ += newly_touched;
  if (!share_.resize(touched_bytes())) over_budget_ = true;
}

void BlockFile::keep_to_budget() const noexcept {
  if (!over_budget_.exchange(false)) {
    share_.touch();
    return;
  }
  drop_pages();
  static_cast<void>(share_.resize(0));
}

void BlockFile::drop_pages() const noexcept {
  mapped_.advise(MADV_DONTNEED);
  for (std::size_t block = 0; block < block_hashes_.size(); ++block)
    blocks_[block].fetch_and(kVerified);
  touched_ = 0;
}

void BlockFile::check_unchanged() const {
  if (mapped_.is_unchanged() && !guard_.was_cut()) return;
  throw CorruptData(
      path_.string() + " was written to while it was open",
      "index files are replaced, never changed: open it anew, or delete it and it is rebuilt");
}

}  // namespace nearlite
