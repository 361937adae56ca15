#include <array>
#include <string>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/index/flat_index.h"
#include "segment_format.h"

namespace nearlite {

SegmentDigest write_segment(AtomicFile& file, const VectorRows& rows, const SegmentInfo& info) {
  check_rows(rows);
  if (info.dim != rows.dim) {
    throw InvalidArgument("segment of " + std::to_string(info.dim) + " dimensions, its rows have " +
                          std::to_string(rows.dim));
  }
  std::vector<float> norms(rows.ids.size());
  for (std::size_t i = 0; i < norms.size(); ++i) norms[i] = vector_norm(rows.row(i));
  const EncodedRows encoded = encode_rows(rows, norms);
  const auto section = [](SectionKind kind, std::span<const std::byte> bytes) {
    return FileSection{static_cast<std::uint32_t>(kind), bytes};
  };
  const std::array sections{
      section(SectionKind::kIds, std::as_bytes(rows.ids)),
      section(SectionKind::kNorms, std::as_bytes(std::span(norms))),
      section(SectionKind::kMean, std::as_bytes(std::span(encoded.mean))),
      section(SectionKind::kBounds, std::as_bytes(std::span(encoded.bounds))),
      section(SectionKind::kHighCodes, std::as_bytes(std::span(encoded.high))),
      section(SectionKind::kLowCodes, std::as_bytes(std::span(encoded.low))),
      section(SectionKind::kRows, std::as_bytes(rows.values))};
  return write_block_file(file, kSegmentFile, info, rows.ids.size(), sections);
}

SegmentDigest write_segment(const std::filesystem::path& file, const VectorRows& rows,
                            const SegmentInfo& info) {
  AtomicFile writing(file);
  const SegmentDigest digest = write_segment(writing, rows, info);
  writing.commit();
  return digest;
}

}  // namespace nearlite
