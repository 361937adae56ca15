#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "nearlite/index/calibration.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

/// Neighbors that calibration asks for.
inline constexpr std::size_t kCalibrationK = 10;

/// Rows somewhere in memory, `stride` floats apart.
struct StridedRows {
  const float* values = nullptr;
  std::size_t stride = 0;
  std::size_t dim = 0;
  std::span<const float> norms;   // [rows]
  std::span<const VectorId> ids;  // [rows]
};

/// Measures which effort finds how much, against exact neighbors: for up to 256 stored vectors,
/// half of them moved a little and half of them farther, and for `asked`, questions that people
/// asked. What may be promised is what the worst of these groups keeps. `search` answers one query
/// with one effort; `efforts` are tried in ascending order until more finds nothing new or costs
/// more than looking at every vector.
Calibration measure_calibration(
    const StridedRows& rows, std::span<const std::size_t> efforts,
    const std::function<SearchResult(std::span<const float> query, const SearchParams& params,
                                     std::size_t effort)>& search,
    const AskedQuestions& asked = {});

/// The cheapest effort that may promise params.recall, grown for a k above what was calibrated and
/// for a filter that few ids pass (both reach farther out). Nothing if that is more than `most` or
/// none reaches the recall; with params.index_only the greatest instead.
std::optional<Effort> effort_for(const Calibration& calibration, const SearchParams& params,
                                 std::span<const VectorId> ids, double most);

}  // namespace nearlite
