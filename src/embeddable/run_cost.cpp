#include "run_cost.h"

namespace nearlite {

void RunCost::add(std::span<PendingRecord> records, SkipTally& tally) {
  for (PendingRecord& record : records) {
    embedder_.govern(record);
    if (record.state == RecordState::kBlocked) tally.block(record.key, record.reason);
    if (record.state != RecordState::kEmbedded) continue;
    TextCost cost = embedder_.cost_of(record);
    if (is_repeated(record)) {
      cost.tokens = 0;
    } else {
      sample_.add(record);
    }
    cost_ += cost;
    if (record.content.kind == Content::Kind::kVector) own_dim_ = record.content.vector.size();
  }
}

/// Whether the text has its vectors already, or will have them by the time the record comes.
bool RunCost::is_repeated(const PendingRecord& record) {
  if (record.content.kind != Content::Kind::kText) return false;
  const bool stored = record.only_rules ? record.governed_text == record.stored_governed_text
                                        : record.same_text && record.same_text->governed_text ==
                                                                  record.governed_text;
  return stored || !texts_.insert(record.content.hash).second;
}

void RunCost::count_in(BackfillResult& result) const {
  result.embedded = cost_.texts;
  result.passages = cost_.passages;
  result.longer = cost_.longer;
  result.tokens = cost_.tokens;
}

void RunCost::estimate_in(BackfillResult& result) const {
  std::size_t dim = own_dim_;
  if (dim == 0 && cost_.texts > 0) dim = db_.encoder().info().dim;
  result.estimated_ms = sample_.milliseconds(cost_, embedder_);
  result.estimated_bytes = bytes_on_disk(cost_, dim, db_.options().backend);
}

}  // namespace nearlite
