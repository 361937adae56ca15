#include <cstring>
#include <string>
#include <vector>

#include "block_file.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
  return (value + step - 1) / step * step;
}

/// Hashes what passes through, block by block, and pads to section borders.
class BlockWriter {
 public:
  explicit BlockWriter(AtomicFile& file) : file_(file) { block_.reserve(kBlockBytes); }

  void write(std::span<const std::byte> bytes) {
    offset_ += bytes.size();
    while (!bytes.empty()) {
      const std::size_t take = std::min<std::size_t>(bytes.size(), kBlockBytes - block_.size());
      block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(take));
      bytes = bytes.subspan(take);
      if (block_.size() == kBlockBytes) flush();
    }
  }
  void pad_to(std::uint64_t offset) {
    static constexpr std::array<std::byte, kSectionAlignment> kZeros{};
    while (offset_ < offset) {
      write(std::span(kZeros).first(std::min<std::uint64_t>(kZeros.size(), offset - offset_)));
    }
  }
  /// Hashes of all blocks, the last one perhaps short.
  const std::vector<std::uint64_t>& finish() {
    if (!block_.empty()) flush();
    return hashes_;
  }

 private:
  void flush() {
    hashes_.push_back(xxh3_64(block_));
    file_.write(block_);
    block_.clear();
  }

  AtomicFile& file_;
  std::vector<std::byte> block_;
  std::vector<std::uint64_t> hashes_;
  std::uint64_t offset_ = 0;
};

template <typename T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), bytes, bytes + sizeof(T));
}

void append(std::vector<std::byte>& to, const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

/// The header's bytes and, in `entries`, where each section goes.
std::vector<std::byte> make_header(BlockFileHeader header, const SegmentInfo& info,
                                   std::span<const FileSection> sections,
                                   std::vector<SectionEntry>& entries) {
  const std::uint64_t content = sizeof(BlockFileHeader) + sections.size() * sizeof(SectionEntry) +
                                info.store.size() + info.model_identity.size() +
                                sizeof(std::uint64_t);
  header.header_bytes = static_cast<std::uint32_t>(round_up(content, kSectionAlignment));
  std::uint64_t offset = header.header_bytes;
  for (const FileSection& section : sections) {
    entries.push_back({section.kind, 0, offset, section.bytes.size()});
    offset = round_up(offset + section.bytes.size(), kSectionAlignment);
  }
  const std::uint64_t num_blocks = round_up(offset, kBlockBytes) / kBlockBytes;
  header.file_bytes = offset + num_blocks * sizeof(std::uint64_t) + sizeof(BlockFileFooter);

  std::vector<std::byte> bytes;
  append(bytes, header);
  for (const SectionEntry& entry : entries) append(bytes, entry);
  append(bytes, info.store);
  append(bytes, info.model_identity);
  bytes.resize(header.header_bytes - sizeof(std::uint64_t));
  append(bytes, xxh3_64(bytes));
  return bytes;
}

}  // namespace

SegmentDigest write_block_file(AtomicFile& file, const BlockFileKind& kind, const SegmentInfo& info,
                               std::uint64_t rows, std::span<const FileSection> sections) {
  if (info.store.size() > kMaxNameBytes || info.model_identity.size() > kMaxNameBytes) {
    throw InvalidArgument("name of store or model is longer than 4096 bytes");
  }
  BlockFileHeader header{.magic = {},
                         .version = kind.version,
                         .header_bytes = 0,
                         .file_bytes = 0,
                         .rows = rows,
                         .dim = static_cast<std::uint32_t>(info.dim),
                         .metric = 1,
                         .generation = info.generation,
                         .block_bytes = static_cast<std::uint32_t>(kBlockBytes),
                         .num_sections = static_cast<std::uint32_t>(sections.size()),
                         .store_bytes = static_cast<std::uint32_t>(info.store.size()),
                         .model_bytes = static_cast<std::uint32_t>(info.model_identity.size())};
  std::memcpy(header.magic.data(), kind.magic.data(), header.magic.size());

  std::vector<SectionEntry> entries;
  BlockWriter writer(file);
  writer.write(make_header(header, info, sections, entries));
  for (std::size_t i = 0; i < sections.size(); ++i) {
    writer.write(sections[i].bytes);
    writer.pad_to(round_up(entries[i].offset + entries[i].bytes, kSectionAlignment));
  }
  const std::vector<std::uint64_t>& hashes = writer.finish();
  const auto table = std::as_bytes(std::span(hashes));
  BlockFileFooter footer{.table_hash = xxh3_64(table),
                         .file_bytes = file.size_bytes() + table.size() + sizeof(BlockFileFooter),
                         .end = {}};
  std::memcpy(footer.end.data(), kind.end.data(), footer.end.size());
  file.write(table);
  file.write(std::as_bytes(std::span(&footer, 1)));
  return {.rows = rows, .file_bytes = file.size_bytes(), .content_hash = footer.table_hash};
}

}  // namespace nearlite
