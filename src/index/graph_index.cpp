#include "nearlite/index/graph_index.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "calibrate.h"
#include "collector.h"
#include "graph.h"
#include "graph_format.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

/// Verified.
template <typename T>
std::span<const T> section(const BlockFile& file, GraphSection kind, std::uint64_t count,
                           std::size_t level = 0) {
  const auto values =
      file.section<T>(static_cast<std::uint32_t>(kind) + static_cast<std::uint32_t>(level), count);
  file.verify(values);
  return values;
}

/// Of as many values as it holds.
template <typename T>
std::span<const T> section_of(const BlockFile& file, GraphSection kind) {
  const auto bytes = file.section_bytes(static_cast<std::uint32_t>(kind));
  return section<T>(file, kind, bytes.size() / sizeof(T));
}

template <typename T>
std::vector<T> copy_of(std::span<const T> values) {
  return {values.begin(), values.end()};
}

}  // namespace

/// Memory of walks that nobody uses now.
class GraphIndex::Walks {
 public:
  std::unique_ptr<GraphWalk> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<GraphWalk>();
    auto walk = std::move(free_.back());
    free_.pop_back();
    return walk;
  }
  void give(std::unique_ptr<GraphWalk> walk) {
    constexpr std::size_t kMost = 16;
    const std::lock_guard lock(mutex_);
    if (free_.size() < kMost) free_.push_back(std::move(walk));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<GraphWalk>> free_;
};

std::shared_ptr<const GraphIndex> GraphIndex::open(const std::filesystem::path& file,
                                                   std::span<const VectorId> ids,
                                                   const SegmentExpectation& expectation) {
  auto opened = std::make_unique<BlockFile>(file, kGraphFile, expectation);
  std::shared_ptr<GraphIndex> index(new GraphIndex(std::move(opened)));
  index->load_and_check();
  if (!std::equal(ids.begin(), ids.end(), index->ids_.begin(), index->ids_.end()))
    index->file_->fail("graph holds other ids than were recorded");
  return index;
}

GraphIndex::GraphIndex(std::unique_ptr<BlockFile> file)
    : file_(std::move(file)),
      codes_(std::make_unique<RowCodes>()),
      graph_(std::make_unique<Graph>()),
      walks_(std::make_unique<Walks>()) {}
GraphIndex::~GraphIndex() = default;

std::uint64_t GraphIndex::memory_bytes() const noexcept {
  std::uint64_t bytes = codes_->bytes().size() + graph_->member_codes.bytes().size() +
                        (codes_->size() + graph_->members.size()) * 2 * sizeof(float);
  for (const GraphLevel& level : graph_->levels) bytes += level.links.size();
  return bytes;
}

std::size_t GraphIndex::dim() const noexcept { return file_->info().dim; }
const SegmentInfo& GraphIndex::info() const noexcept { return file_->info(); }

/// Copies what walks read, since it must not change while they run, and proves it safe: every row
/// that is named exists. (No walk is endless: it visits a row once.)
void GraphIndex::load_and_check() {
  const BlockFile& file = *file_;
  const std::uint64_t rows = file.rows();
  if (rows >= GraphCandidate::kMaxRows) file.fail("graph of more rows than it can count");
  ids_ = section<VectorId>(file, GraphSection::kIds, rows);
  norms_ = section<float>(file, GraphSection::kNorms, rows);
  values_ = file.section<float>(static_cast<std::uint32_t>(GraphSection::kRows), rows * dim());
  const auto calibration = section_of<char>(file, GraphSection::kCalibration);
  calibration_ = Calibration::from_json({calibration.data(), calibration.size()});

  const auto codes = section<std::uint8_t>(file, GraphSection::kCodes, rows * code_stride(dim()));
  *codes_ = RowCodes(rows, dim());
  std::copy(codes.begin(), codes.end(), codes_->bytes().begin());
  codes_->scales = copy_of(section<float>(file, GraphSection::kScales, rows));
  codes_->mean = copy_of(section<float>(file, GraphSection::kMean, dim()));
  graph_->next_same = copy_of(section<std::uint32_t>(file, GraphSection::kNextSame, rows));
  load_levels();
  file.check_unchanged();  // what was copied is what was verified
  check_rows_named();
  for (std::size_t i = 0; i < rows; ++i) {
    if (!(norms_[i] >= 0) || !std::isfinite(norms_[i]) || !(codes_->scales[i] >= 0) ||
        !std::isfinite(codes_->scales[i])) {
      file.fail("graph has a length or scale that cannot be");
    }
    if (i > 0 && ids_[i] <= ids_[i - 1]) file.fail("graph has ids that do not ascend");
  }
  graph_->copy_member_codes(*codes_);
  file_->drop_pages();  // all that walks read was copied
}

void GraphIndex::load_levels() {
  const BlockFile& file = *file_;
  const auto levels = section_of<GraphLevelParams>(file, GraphSection::kLevels);
  if (levels.empty() || levels.size() > kMaxLevels || levels[0].rows != file.rows())
    file.fail("graph has levels that do not fit its rows");
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const GraphLevelParams& params = levels[i];
    if (params.degree == 0 || params.degree > kMaxDegree ||
        (i > 0 && params.rows > levels[i - 1].rows) || params.num_entries > params.rows) {
      file.fail("level " + std::to_string(i) + " of the graph has " + std::to_string(params.rows) +
                " rows of " + std::to_string(params.degree) + " links and " +
                std::to_string(params.num_entries) + " entries, which cannot be");
    }
    GraphLevel& level = graph_->levels.emplace_back();
    level.size = params.rows;
    level.degree = params.degree;
    const auto links = section<std::uint32_t>(file, GraphSection::kLinks,
                                              std::uint64_t{params.rows} * params.degree, i);
    level.links = PageMemory(links.size_bytes());
    if (!links.empty()) std::memcpy(level.links.data(), links.data(), links.size_bytes());
    level.entries =
        copy_of(section<std::uint32_t>(file, GraphSection::kEntries, params.num_entries, i));
  }
  const std::uint64_t members = levels.size() > 1 ? levels[1].rows : 0;
  graph_->members = copy_of(section<std::uint32_t>(file, GraphSection::kMembers, members));
}

void GraphIndex::check_rows_named() const {
  const auto all_below = [&](std::span<const std::uint32_t> rows, std::size_t limit) {
    for (const std::uint32_t row : rows) {
      if (row >= limit) file_->fail("graph names a row that does not exist");
    }
  };
  for (const GraphLevel& level : graph_->levels) {
    all_below(level.entries, level.size);
    for (std::size_t row = 0; row < level.size; ++row) {
      const auto links = level.links_of(row);
      all_below(links.first(static_cast<std::size_t>(std::find(links.begin(), links.end(), kNoRow) -
                                                     links.begin())),
                level.size);
    }
  }
  all_below(graph_->members, codes_->size());
  for (std::size_t i = 0; i < graph_->next_same.size(); ++i) {
    const std::uint32_t next = graph_->next_same[i];
    if (next == kNoRow) continue;
    all_below({&next, 1}, codes_->size());
    if (next <= i) file_->fail("graph has a list of equal rows that goes back");
  }
}

void GraphIndex::verify() const {
  file_->check_unchanged();
  file_->verify_all();
  file_->check_unchanged();
}

void GraphIndex::save(const std::filesystem::path& file) const {
  verify();
  AtomicFile copy(file);
  copy.write(file_->bytes());
  file_->check_unchanged();
  copy.commit();
}

void GraphIndex::scan(std::span<const float> unit_query, Collector& collector) const {
  verify();
  scan_rows(unit_query, values_.data(), dim(), norms_, ids_, collector);
  file_->check_unchanged();
}

SearchResult GraphIndex::search_with_effort(std::span<const float> query,
                                            const SearchParams& params, std::size_t effort) const {
  file_->check_unchanged();
  const std::vector<float> unit = unit_query(query, dim(), params);
  auto walk = walks_->take();
  auto found = search_graph({*graph_, *codes_, ids_, norms_, values_}, *walk, unit, params, effort,
                            [this](std::span<const float> row) { file_->verify(row); });
  walks_->give(std::move(walk));
  if (!found) {
    Collector exact(params);
    scan(unit, exact);
    return exact.finish();
  }
  file_->check_unchanged();  // else what was scored cannot be believed
  return *std::move(found);
}

SearchResult GraphIndex::search(std::span<const float> query, const SearchParams& params) const {
  const auto most = static_cast<double>(ids_.size());
  if (const std::optional<Effort> effort = effort_for(calibration_, params, ids_, most)) {
    SearchResult result = search_with_effort(query, params, effort->search_k);
    if (result.path == "graph") result.recall = effort->recall_low;
    return result;
  }
  const std::vector<float> unit = unit_query(query, dim(), params);
  Collector collector(params);
  scan(unit, collector);
  return collector.finish();
}

std::optional<double> GraphIndex::estimated_us(const SearchParams& params) const {
  const auto effort = effort_for(calibration_, params, ids_, static_cast<double>(ids_.size()));
  if (!effort) return std::nullopt;
  return effort->microseconds;
}

}  // namespace nearlite
