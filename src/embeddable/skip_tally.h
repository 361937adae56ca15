#pragma once

#include <string>

#include "nearlite/embeddable/embeddable_db_mixin.h"

namespace nearlite {

/// Counts the records that a run passes over by their reason, and lists the first of them, in the
/// result of the run.
class SkipTally {
 public:
  /// `result` must outlive the tally.
  explicit SkipTally(BackfillResult& result) : result_(result) {}

  /// There is nothing to embed; not permanent: the reason may pass.
  void skip(const RecordKey& key, const std::string& reason, bool permanent);
  /// Governance refuses it; `reason` names rules and places ("eval-use at 4-9, ...").
  void block(const RecordKey& key, const std::string& reason);

 private:
  void count_reason(const std::string& reason);

  BackfillResult& result_;
};

}  // namespace nearlite
