#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/index/id_set.h"
#include "nearlite/index/tombstones.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

/// Nearer first; equal similarity: smaller id first. The one order of all results.
inline bool is_nearer(const Neighbor& a, const Neighbor& b) noexcept {
  return a.similarity > b.similarity || (a.similarity == b.similarity && a.id < b.id);
}

/// The best k of what any number of parts offer. Dead and filtered ids are dropped here, inside the
/// search, so that they never take the place of a live one. Used by one thread.
class Collector {
 public:
  explicit Collector(const SearchParams& params, const Tombstones* dead = nullptr)
      : k_(params.k),
        filter_(params.filter ? &params.filter : nullptr),
        among_(params.among.get()),
        dead_(dead != nullptr && !dead->empty() ? dead : nullptr) {}

  /// Whether a row of this similarity could still enter: what a scan asks before anything else.
  bool wants(float similarity) const noexcept { return similarity >= floor_; }

  void offer(float similarity, VectorId id) {
    if (would_enter({id, similarity}) && accepts(id)) enter({id, similarity});
  }
  /// The same for an id that accepts() was already asked about.
  void offer_accepted(float similarity, VectorId id) {
    if (would_enter({id, similarity})) enter({id, similarity});
  }

  /// Whether an id is alive and passes the filter.
  bool accepts(VectorId id) const {
    return (among_ == nullptr || among_->contains(id)) && accepts_member(id);
  }
  /// The same for an id of the set that is searched, if there is one.
  bool accepts_member(VectorId id) const {
    return (dead_ == nullptr || !dead_->contains(id)) && (filter_ == nullptr || (*filter_)(id));
  }
  /// Whether accepts_member() is true of all.
  bool accepts_members() const noexcept { return dead_ == nullptr && filter_ == nullptr; }
  /// Whether only some of the living are wanted.
  bool is_filtered() const noexcept { return filter_ != nullptr || among_ != nullptr; }
  /// The only ids wanted, or null.
  const IdSet* among() const noexcept { return among_; }

  std::size_t k() const noexcept { return k_; }
  std::size_t found() const noexcept { return heap_.size(); }
  /// The similarity of the worst of the k best, or minus infinity while there are fewer.
  float floor() const noexcept { return floor_; }

  void count_scored(std::size_t rows) noexcept { num_scored_ += rows; }

  /// Throws CorruptData if what was scored cannot be a stored vector: writers refuse values that
  /// are not finite, so a file holds one only if it was made to, with checksums that fit.
  SearchResult finish() {
    if (saw_no_number_)
      throw CorruptData("an index file holds a vector or length that is not finite",
                        "the file is derived: delete it and it is rebuilt from the sidecar");
    std::sort_heap(heap_.begin(), heap_.end(), is_nearer);
    SearchResult result;
    result.neighbors = std::move(heap_);
    result.num_scored = num_scored_;
    if (result.neighbors.size() < k_) {
      result.shortfall = is_filtered() ? Shortfall::kFiltered : Shortfall::kStored;
    }
    return result;
  }

 private:
  bool would_enter(const Neighbor& neighbor) const noexcept {
    return heap_.size() < k_ || is_nearer(neighbor, heap_.front());
  }
  void enter(const Neighbor& neighbor) {
    if (!std::isfinite(neighbor.similarity)) {
      saw_no_number_ = true;  // it would spoil the order of the others
      return;
    }
    if (heap_.size() == k_) {
      std::pop_heap(heap_.begin(), heap_.end(), is_nearer);
      heap_.back() = neighbor;
    } else {
      heap_.push_back(neighbor);
    }
    std::push_heap(heap_.begin(), heap_.end(), is_nearer);
    if (heap_.size() == k_) floor_ = heap_.front().similarity;
  }

  std::size_t k_;
  const std::function<bool(VectorId)>* filter_;
  const IdSet* among_;
  const Tombstones* dead_;
  std::vector<Neighbor> heap_;  // front: the worst
  float floor_ = -std::numeric_limits<float>::infinity();
  std::size_t num_scored_ = 0;
  bool saw_no_number_ = false;
};

/// Checks a query (size, finite, not all zeros, k) and scales it to length 1.
/// Throws InvalidArgument.
std::vector<float> unit_query(std::span<const float> query, std::size_t dim,
                              const SearchParams& params);

/// Offers every row; norms: [ids.size()]; consecutive rows start `stride` floats apart.
void scan_rows(std::span<const float> unit_query, const float* rows, std::size_t stride,
               std::span<const float> norms, std::span<const VectorId> ids, Collector& collector);

/// The similarity that every path reports: of a unit query and a row of this length.
float similarity_of(std::span<const float> unit_query, const float* row, float norm) noexcept;

}  // namespace nearlite
