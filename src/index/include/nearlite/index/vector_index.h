#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// The id of one stored vector: the rowid of a passage in the sidecar. Never used twice.
enum class VectorId : std::int64_t {};

enum class Metric { kCosine };

/// kAuto: exact, and an index file when it measurably pays.
enum class Backend { kAuto, kAnnoy, kFaiss, kFlat, kGraph };
/// "auto", "annoy", "faiss", "flat", "graph". Throws InvalidArgument that lists them (any case is
/// taken).
Backend backend_of(std::string_view name);
std::string_view backend_name(Backend backend);

struct Neighbor {
  VectorId id{};
  float similarity = 0;  // cosine: larger is nearer
  friend bool operator==(const Neighbor&, const Neighbor&) = default;
};

class IdSet;

struct SearchParams {
  std::size_t k = 10;
  double recall = 0.99;                       // asked share of the true neighbors; 1.0: exact
  std::function<bool(VectorId)> filter = {};  // empty: all; only ids that pass are returned
  // null: all. A set of ids (id_set.h) tells a search how many pass, so it is the better filter;
  // both may be given.
  std::shared_ptr<const IdSet> among = {};
  bool index_only =
      false;  // do not answer exactly because it is cheaper: for tests and comparisons
};

/// Why fewer than k came back.
enum class Shortfall {
  kNone,     // k did
  kStored,   // no more are stored
  kFiltered  // no more pass the filter
};

struct SearchResult {
  std::vector<Neighbor> neighbors;  // nearest first; equal similarity: smaller id first
  std::string_view path =
      "exact";  // "exact", "annoy", "faiss", "graph": a string that lives for the whole program
  double recall = 1.0;         // what the path promises: 1.0 or the calibrated value
  std::size_t num_scored = 0;  // vectors whose similarity was computed
  Shortfall shortfall = Shortfall::kNone;
};

/// A finished, read-only nearest-neighbor index. Every method may be called from several threads.
class VectorIndex {
 public:
  virtual ~VectorIndex() = default;
  /// The params.k ids nearest to `query`, nearest first; fewer only if the index (or params.filter)
  /// holds fewer. query: [dim] floats, any length above 0. Zero vectors are never returned. Throws
  /// InvalidArgument if query.size() is not dim(), a value is not finite, the query is all zeros,
  /// or k is 0.
  virtual SearchResult search(std::span<const float> query, const SearchParams& params) const = 0;

  /// Writes the backend's own file to this path, whole and synced by the caller (AtomicFile).
  /// Throws Error.
  virtual void save(const std::filesystem::path& file) const = 0;

  virtual std::size_t size() const noexcept = 0;  // vectors held
  virtual std::size_t dim() const noexcept = 0;   // floats per vector
  virtual Metric metric() const noexcept = 0;
};

/// Rows of vectors that somebody else owns: rows [ids.size(), dim] row-major, ids ascending.
struct VectorRows {
  std::span<const VectorId> ids;
  std::span<const float> values;
  std::size_t dim = 0;
  std::span<const float> row(std::size_t i) const { return values.subspan(i * dim, dim); }
};

}  // namespace nearlite
