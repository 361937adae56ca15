#include <array>
#include <string>

#include "calibrate.h"
#include "collector.h"
#include "graph.h"
#include "graph_format.h"
#include "nearlite/base/error.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/graph_index.h"

namespace nearlite {
namespace {

void check_options(const VectorRows& rows, const GraphOptions& options) {
  if (rows.ids.size() >= GraphCandidate::kMaxRows) {
    throw InvalidArgument("graph counts in 32 bits: " + std::to_string(rows.ids.size()) +
                          " rows are 2^31 or more");
  }
  if (options.degree < 4 || options.degree > kMaxDegree) {
    throw InvalidArgument("graph of " + std::to_string(options.degree) +
                          " links per row, 4 to 256 are possible");
  }
  if (options.effort < options.degree || options.effort > 10'000) {
    throw InvalidArgument("graph built with effort " + std::to_string(options.effort) + ", " +
                          std::to_string(options.degree) + " to 10000 are possible");
  }
}

template <typename T>
FileSection section(GraphSection kind, std::span<const T> values, std::size_t level = 0) {
  return {static_cast<std::uint32_t>(kind) + static_cast<std::uint32_t>(level),
          std::as_bytes(values)};
}

constexpr std::array<std::size_t, 14> kEfforts{12,  16,  24,  32,  48,  64,  96,
                                               128, 192, 256, 384, 512, 768, 1024};

Calibration calibrate(const GraphRows& graph, const AskedQuestions& asked) {
  GraphWalk walk;
  const std::size_t dim = graph.codes.dim();
  return measure_calibration(
      {graph.values.data(), dim, dim, graph.norms, graph.ids}, kEfforts,
      [&](std::span<const float> query, const SearchParams& params, std::size_t effort) {
        const auto unit = unit_query(query, dim, params);
        auto found = search_graph(graph, walk, unit, params, effort, [](auto) {});
        return found ? *std::move(found) : SearchResult{};
      },
      asked);
}

}  // namespace

SegmentDigest build_graph_file(AtomicFile& file, const VectorRows& rows, const SegmentInfo& info,
                               const GraphOptions& options) {
  check_rows(rows);
  check_options(rows, options);
  std::vector<float> norms(rows.ids.size());
  for (std::size_t i = 0; i < norms.size(); ++i) norms[i] = vector_norm(rows.row(i));
  const RowCodes codes({rows.values.data(), rows.dim, rows.dim}, norms);
  const Graph graph = build_graph(codes, norms,
                                  {.degree = options.degree,
                                   .effort = options.effort,
                                   .seed = options.seed,
                                   .threads = options.threads});
  const std::string calibration =
      calibrate({graph, codes, rows.ids, norms, rows.values}, options.asked).to_json();
  std::vector<GraphLevelParams> levels;
  for (const GraphLevel& level : graph.levels) {
    levels.push_back({static_cast<std::uint32_t>(level.size),
                      static_cast<std::uint32_t>(level.degree),
                      static_cast<std::uint32_t>(level.entries.size()), 0});
  }
  std::vector<FileSection> sections{
      section<GraphLevelParams>(GraphSection::kLevels, levels),
      section<char>(GraphSection::kCalibration, calibration),
      section<VectorId>(GraphSection::kIds, rows.ids),
      section<float>(GraphSection::kNorms, norms),
      section<float>(GraphSection::kMean, codes.mean),
      section<float>(GraphSection::kScales, codes.scales),
      section<std::uint32_t>(GraphSection::kMembers, graph.members),
      section<std::uint32_t>(GraphSection::kNextSame, graph.next_same)};
  for (std::size_t i = 0; i < graph.levels.size(); ++i) {
    const GraphLevel& level = graph.levels[i];
    sections.push_back(
        section<std::byte>(GraphSection::kLinks, {level.links.data(), level.links.size()}, i));
    sections.push_back(section<std::uint32_t>(GraphSection::kEntries, level.entries, i));
  }
  sections.push_back(section<std::uint8_t>(GraphSection::kCodes, codes.bytes()));
  sections.push_back(section<float>(GraphSection::kRows, rows.values));
  return write_block_file(file, kGraphFile, info, rows.ids.size(), sections);
}

}  // namespace nearlite
