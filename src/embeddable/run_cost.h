#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>

#include "cost_sample.h"
#include "embedder.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "skip_tally.h"

namespace nearlite {

/// A dry run: what the records that a run would embed cost.
class RunCost {
 public:
  RunCost(const EmbeddableDBMixin& db, Embedder& embedder) : db_(db), embedder_(embedder) {}

  /// Governs and counts them; those that governance refuses go to the tally.
  void add(std::span<PendingRecord> records, SkipTally& tally);
  /// Records, passages and tokens so far.
  void count_in(BackfillResult& result) const;
  /// Milliseconds and bytes. Encodes a sample, to know how fast the model is here and now.
  void estimate_in(BackfillResult& result) const;

 private:
  const EmbeddableDBMixin& db_;
  Embedder& embedder_;
  bool is_repeated(const PendingRecord& record);

  TextCost cost_;
  std::unordered_set<std::uint64_t> texts_;  // seen: an equal one is not encoded again
  CostSample sample_;
  std::size_t own_dim_ = 0;  // of vectors of the store's own
};

}  // namespace nearlite
