#include "segment_format.h"

#include <cstring>
#include <string>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr const char* kHint = "the file is derived: delete it and it is rebuilt from the sidecar";

/// Reads one file's structure; every throw names the file.
class Parser {
 public:
  Parser(const std::filesystem::path& file, std::span<const std::byte> bytes)
      : file_(file), bytes_(bytes) {}

  SegmentLayout parse() {
    read_header();
    read_footer();
    check_header_hash();
    SegmentLayout layout;
    layout.covered_bytes = covered_;
    layout.block_hashes = {reinterpret_cast<const std::uint64_t*>(bytes_.data() + covered_),
                           num_blocks_};
    layout.digest = {header_.rows, header_.file_bytes, footer_.table_hash};
    read_names(layout.info);
    read_sections(layout);
    return layout;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw CorruptData(file_.string() + ": " + what, kHint);
  }

  template <typename T>
  T read(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  void read_header() {
    if (bytes_.empty()) fail("segment file is empty");
    if (bytes_.size() < kSegmentMagic.size() ||
        std::memcmp(bytes_.data(), kSegmentMagic.data(), kSegmentMagic.size()) != 0) {
      fail("not a segment file: it does not start with NLVECS");
    }
    if (bytes_.size() < sizeof(SegmentHeader) + sizeof(SegmentFooter)) {
      fail("segment file is cut off: " + std::to_string(bytes_.size()) + " bytes");
    }
    header_ = read<SegmentHeader>(0);
    if (header_.version > kSegmentVersion) {
      throw CorruptData(file_.string() + ": segment of version " + std::to_string(header_.version) +
                            ", this program reads up to " + std::to_string(kSegmentVersion),
                        "it was written by a newer nearlite: use that one");
    }
    if (header_.version == 0) fail("segment header is damaged: version 0");
    if (header_.file_bytes != bytes_.size()) {
      fail("segment file has " + std::to_string(bytes_.size()) + " bytes, its header says " +
           std::to_string(header_.file_bytes));
    }
  }

  void read_footer() {
    footer_ = read<SegmentFooter>(bytes_.size() - sizeof(SegmentFooter));
    if (std::memcmp(footer_.end.data(), kSegmentEnd.data(), kSegmentEnd.size()) != 0 ||
        footer_.file_bytes != bytes_.size()) {
      fail("segment footer is damaged");
    }
    // covered bytes + one hash per begun block = everything before the footer.
    const std::uint64_t before = bytes_.size() - sizeof(SegmentFooter);
    num_blocks_ = (before + kBlockBytes + 7) / (kBlockBytes + 8);
    if (header_.block_bytes != kBlockBytes || num_blocks_ * 8 >= before)
      fail("segment footer is damaged");
    covered_ = before - num_blocks_ * 8;
    if (covered_ % kSectionAlignment != 0 ||
        (covered_ + kBlockBytes - 1) / kBlockBytes != num_blocks_) {
      fail("segment footer is damaged");
    }
    if (xxh3_64(bytes_.subspan(covered_, num_blocks_ * 8)) != footer_.table_hash) {
      fail("block hashes of the segment are damaged");
    }
  }

  void check_header_hash() const {
    const std::uint64_t least = sizeof(SegmentHeader) + sizeof(std::uint64_t);
    if (header_.header_bytes < least || header_.header_bytes > covered_ ||
        header_.header_bytes % kSectionAlignment != 0) {
      fail("segment header is damaged");
    }
    const std::uint64_t hashed = header_.header_bytes - sizeof(std::uint64_t);
    if (xxh3_64(bytes_.first(hashed)) != read<std::uint64_t>(hashed)) {
      fail("segment header is damaged");
    }
    const std::uint64_t table = std::uint64_t{header_.num_sections} * sizeof(SectionEntry);
    if (header_.num_sections > kMaxSections || header_.store_bytes > kMaxNameBytes ||
        header_.model_bytes > kMaxNameBytes ||
        sizeof(SegmentHeader) + table + header_.store_bytes + header_.model_bytes > hashed) {
      fail("segment header asks for more than it holds");
    }
    if (header_.metric != 1)
      fail("segment of metric " + std::to_string(header_.metric) + ", cosine (1) is known");
    if (header_.dim == 0 || header_.dim > 65'536) {
      fail("segment of " + std::to_string(header_.dim) + " dimensions, 1 to 65536 are possible");
    }
    // Every row takes at least 8 bytes, so this also keeps the products below from overflowing.
    if (header_.rows > covered_ / 8) {
      fail("segment of " + std::to_string(header_.rows) + " rows in " + std::to_string(covered_) +
           " bytes");
    }
  }

  void read_names(SegmentInfo& info) const {
    const std::uint64_t at =
        sizeof(SegmentHeader) + std::uint64_t{header_.num_sections} * sizeof(SectionEntry);
    const auto* text = reinterpret_cast<const char*>(bytes_.data());
    info.store.assign(text + at, header_.store_bytes);
    info.model_identity.assign(text + at + header_.store_bytes, header_.model_bytes);
    info.generation = header_.generation;
    info.dim = header_.dim;
  }

  void read_sections(SegmentLayout& layout) const {
    const std::uint64_t rows = header_.rows;
    layout.ids = section<VectorId>(SectionKind::kIds, rows);
    layout.norms = section<float>(SectionKind::kNorms, rows);
    layout.values = section<float>(SectionKind::kRows, rows * header_.dim);
    if (!has_section(SectionKind::kCodes)) return;
    const auto bounds = section<float>(SectionKind::kBounds, 3 * rows);
    layout.codes = {
        .codes = section<std::uint8_t>(SectionKind::kCodes, code_bytes(rows, header_.dim)),
        .scales = bounds.first(rows),
        .code_norms = bounds.subspan(rows, rows),
        .residual_norms = bounds.subspan(2 * rows, rows),
        .mean = section<float>(SectionKind::kMean, header_.dim)};
  }

  SectionEntry entry(std::uint32_t i) const {
    return read<SectionEntry>(sizeof(SegmentHeader) + i * sizeof(SectionEntry));
  }

  bool has_section(SectionKind kind) const {
    for (std::uint32_t i = 0; i < header_.num_sections; ++i) {
      if (entry(i).kind == static_cast<std::uint32_t>(kind)) return true;
    }
    return false;
  }

  template <typename T>
  std::span<const T> section(SectionKind kind, std::uint64_t count) const {
    for (std::uint32_t i = 0; i < header_.num_sections; ++i) {
      const SectionEntry found = entry(i);
      if (found.kind != static_cast<std::uint32_t>(kind)) continue;
      if (found.offset % kSectionAlignment != 0 || found.offset < header_.header_bytes ||
          found.offset > covered_ || found.bytes > covered_ - found.offset ||
          found.bytes != count * sizeof(T)) {
        break;
      }
      return {reinterpret_cast<const T*>(bytes_.data() + found.offset), count};
    }
    fail("segment has no fitting section " + std::to_string(static_cast<std::uint32_t>(kind)));
  }

  const std::filesystem::path& file_;
  std::span<const std::byte> bytes_;
  SegmentHeader header_;
  SegmentFooter footer_;
  std::uint64_t num_blocks_ = 0;
  std::uint64_t covered_ = 0;
};

}  // namespace

SegmentLayout parse_segment(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  return Parser(file, bytes).parse();
}

}  // namespace nearlite
