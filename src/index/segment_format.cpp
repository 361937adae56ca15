#include "segment_format.h"

namespace nearlite {
namespace {

template <typename T>
std::span<const T> section(const BlockFile& file, SectionKind kind, std::uint64_t count) {
  return file.section<T>(static_cast<std::uint32_t>(kind), count);
}

}  // namespace

SegmentLayout segment_layout(const BlockFile& file) {
  const std::uint64_t rows = file.rows();
  const std::size_t dim = file.info().dim;
  SegmentLayout layout;
  layout.ids = section<VectorId>(file, SectionKind::kIds, rows);
  layout.norms = section<float>(file, SectionKind::kNorms, rows);
  layout.values = section<float>(file, SectionKind::kRows, rows * dim);
  if (!file.has_section(static_cast<std::uint32_t>(SectionKind::kHighCodes))) return layout;
  layout.codes =
      code_table(section<std::uint8_t>(file, SectionKind::kHighCodes, high_code_bytes(rows, dim)),
                 section<std::uint8_t>(file, SectionKind::kLowCodes, rows * half_code_bytes(dim)),
                 section<float>(file, SectionKind::kBounds, kCodeBounds * rows),
                 section<float>(file, SectionKind::kMean, dim));
  return layout;
}

}  // namespace nearlite
