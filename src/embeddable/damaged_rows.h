#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nearlite/base/error.h"

namespace nearlite {

/// Thrown by a cursor at its end, when it has given all rows that can be read: others lie on
/// damaged pages of the database.
class DamagedRows : public CorruptData {
 public:
  /// ranges: "the rows between 120 and 141", ...
  explicit DamagedRows(std::vector<std::string> ranges)
      : CorruptData(ranges.front() + (ranges.size() > 1 ? " and others" : "") +
                        " cannot be read: a page of the database is damaged",
                    "sqlite3 FILE .recover saves what can be read"),
        ranges_(std::move(ranges)) {}
  const std::vector<std::string>& ranges() const noexcept { return ranges_; }

 private:
  std::vector<std::string> ranges_;
};

}  // namespace nearlite
