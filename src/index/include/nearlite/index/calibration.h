#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/index/vector_index.h"

namespace nearlite {

/// One setting of an approximate index, and what was measured with it.
struct Effort {
  std::size_t search_k = 0;  // candidates to collect
  double recall = 0;         // mean share of the true 10 nearest
  double recall_low = 0;     // lower end of its 95 % interval: what may be promised
  double microseconds = 0;   // per query, one thread
  friend bool operator==(const Effort&, const Effort&) = default;
};

/// What an approximate index reaches at which cost, measured over its own vectors when it was
/// built. Kept by the caller beside the file (JSON text); without it an index measures again when
/// it first needs it.
struct Calibration {
  std::vector<Effort> efforts;  // by growing search_k

  bool empty() const noexcept { return efforts.empty(); }
  /// The cheapest effort that may promise this recall, or nothing.
  std::optional<Effort> cheapest_for(double recall) const;
  std::string to_json() const;
  /// Throws CorruptData if it is not what to_json wrote.
  static Calibration from_json(std::string_view text);
  friend bool operator==(const Calibration&, const Calibration&) = default;
};

/// Query vectors of people, which are harder to answer than what can be made of stored vectors.
struct AskedQuestions {
  std::span<const float> values = {};  // [n, dim]; whole ones of another dim are left out
  std::size_t dim = 0;
};

/// An index whose cost a planner can ask for before it searches.
class CostedIndex : public VectorIndex {
 public:
  /// What such a query costs, in microseconds of one thread; nothing if the index cannot promise
  /// the recall or an exact scan is as good.
  virtual std::optional<double> estimated_us(const SearchParams& params) const = 0;
  /// What it keeps in memory of its own, beside the mapped file.
  virtual std::uint64_t memory_bytes() const noexcept = 0;
};

}  // namespace nearlite
