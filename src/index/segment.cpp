#include "nearlite/index/segment.h"

#include <algorithm>
#include <string>
#include <utility>

#include "collector.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "segment_format.h"

namespace nearlite {
namespace {

template <typename T>
void expect_same(const std::filesystem::path& file, const char* what, const T& found,
                 const std::optional<T>& wanted) {
  if (!wanted || *wanted == found) return;
  const auto text = [](const auto& value) {
    if constexpr (std::is_same_v<T, std::string>)
      return "'" + value + "'";
    else
      return std::to_string(value);
  };
  throw CorruptData(
      file.string() + ": segment has " + what + " " + text(found) + ", expected " + text(*wanted),
      "the file belongs to another index: delete it and it is rebuilt from the sidecar");
}

void check_expectation(const std::filesystem::path& file, const SegmentLayout& layout,
                       const SegmentExpectation& expectation) {
  expect_same(file, "dimension", layout.info.dim, expectation.dim);
  expect_same(file, "store", layout.info.store, expectation.store);
  expect_same(file, "model", layout.info.model_identity, expectation.model_identity);
  expect_same(file, "generation", layout.info.generation, expectation.generation);
  if (expectation.digest && *expectation.digest != layout.digest) {
    throw CorruptData(file.string() + ": segment is not the one that was recorded (" +
                          std::to_string(layout.digest.rows) + " rows, " +
                          std::to_string(layout.digest.file_bytes) + " bytes)",
                      "delete it and it is rebuilt from the sidecar");
  }
}

}  // namespace

std::shared_ptr<const Segment> Segment::open(const std::filesystem::path& file,
                                             const SegmentExpectation& expectation) {
  MappedFile mapped(file);
  auto layout = std::make_unique<SegmentLayout>(parse_segment(file, mapped.bytes()));
  check_expectation(file, *layout, expectation);
  return std::shared_ptr<const Segment>(new Segment(file, std::move(mapped), std::move(layout)));
}

Segment::Segment(std::filesystem::path file, MappedFile mapped,
                 std::unique_ptr<SegmentLayout> layout)
    : file_(std::move(file)),
      mapped_(std::move(mapped)),
      layout_(std::move(layout)),
      verified_(std::make_unique<std::atomic<bool>[]>(layout_->block_hashes.size())) {
  verify_range(0, 1);  // the header's block, so that damage in the padding behind it is found too
}

Segment::~Segment() = default;

std::size_t Segment::size() const noexcept { return layout_->ids.size(); }
std::size_t Segment::dim() const noexcept { return layout_->info.dim; }
const SegmentInfo& Segment::info() const noexcept { return layout_->info; }
const SegmentDigest& Segment::digest() const noexcept { return layout_->digest; }
std::uint64_t Segment::scan_bytes() const noexcept {
  return layout_->codes.codes.empty() ? layout_->values.size_bytes() : layout_->codes.scan_bytes();
}

void Segment::verify_range(std::uint64_t offset, std::uint64_t bytes) const {
  if (bytes == 0) return;
  const std::uint64_t last = (offset + bytes - 1) / kBlockBytes;
  for (std::uint64_t block = offset / kBlockBytes; block <= last; ++block) {
    if (verified_[block].load(std::memory_order_acquire)) continue;
    const std::uint64_t start = block * kBlockBytes;
    const std::uint64_t size = std::min(kBlockBytes, layout_->covered_bytes - start);
    if (xxh3_64(mapped_.bytes().subspan(start, size)) != layout_->block_hashes[block]) {
      throw CorruptData(file_.string() + ": block " + std::to_string(block) + " (bytes " +
                            std::to_string(start) + " to " + std::to_string(start + size - 1) +
                            ") is damaged",
                        "the file is derived: delete it and it is rebuilt from the sidecar");
    }
    verified_[block].store(true, std::memory_order_release);
  }
}

void Segment::verify() const {
  check_unchanged();
  verify_range(0, layout_->covered_bytes);
}

void Segment::check_unchanged() const {
  if (mapped_.is_unchanged()) return;
  throw CorruptData(
      file_.string() + " was written to while it was open",
      "index files are replaced, never changed: open it anew, or delete it and it is rebuilt");
}

template <typename T>
void Segment::verify_section(std::span<const T> section) const {
  if (section.empty()) return;
  const auto* start = reinterpret_cast<const std::byte*>(section.data());
  verify_range(static_cast<std::uint64_t>(start - mapped_.bytes().data()), section.size_bytes());
}

VectorRows Segment::rows() const {
  verify();
  return {layout_->ids, layout_->values, layout_->info.dim};
}

std::optional<std::size_t> Segment::position_of(VectorId id) const {
  check_unchanged();
  verify_section(layout_->ids);
  const auto found = std::lower_bound(layout_->ids.begin(), layout_->ids.end(), id);
  if (found == layout_->ids.end() || *found != id) return std::nullopt;
  return static_cast<std::size_t>(found - layout_->ids.begin());
}

std::span<const float> Segment::vector_at(std::size_t position) const {
  const std::span<const float> row = layout_->values.subspan(position * dim(), dim());
  verify_section(row);
  return row;
}

void Segment::collect(std::span<const float> unit_query, Collector& collector) const {
  check_unchanged();
  // Asked for many, nearly all rows would be scored again.
  const bool use_codes =
      !layout_->codes.codes.empty() && collector.k() < size() / 8 && size() <= UINT32_MAX;
  if (!use_codes) {
    verify();
    scan_rows(unit_query, layout_->values.data(), dim(), layout_->norms, layout_->ids, collector);
    return;
  }
  verify_section(layout_->ids);
  verify_section(layout_->norms);
  verify_section(layout_->codes.mean);
  verify_section(layout_->codes.scales);
  verify_section(layout_->codes.code_norms);
  verify_section(layout_->codes.residual_norms);
  verify_section(layout_->codes.codes);
  const auto candidates =
      scan_codes(layout_->codes, unit_query, layout_->norms, layout_->ids, collector);
  for (const CodeCandidate& candidate : candidates) {
    if (!collector.wants(candidate.upper)) continue;
    const std::span<const float> row = vector_at(candidate.row);
    collector.offer_accepted(similarity_of(unit_query, row.data(), layout_->norms[candidate.row]),
                             layout_->ids[candidate.row]);
    collector.count_scored(1);
  }
}

SearchResult Segment::search(std::span<const float> query, const SearchParams& params) const {
  const std::vector<float> unit = unit_query(query, dim(), params);
  Collector collector(params);
  collect(unit, collector);
  return collector.finish();
}

void Segment::save(const std::filesystem::path& file) const {
  verify();
  AtomicFile copy(file);
  copy.write(mapped_.bytes());
  copy.commit();
}

}  // namespace nearlite
