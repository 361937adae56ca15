#include "skip_tally.h"

#include <algorithm>
#include <vector>

namespace nearlite {
namespace {

constexpr std::size_t kMaxListed = 1000;
constexpr std::size_t kMaxReasons = 100;

void list(std::vector<SkippedRecord>& records, const RecordKey& key, const std::string& reason,
          bool permanent) {
  if (records.size() < kMaxListed) records.push_back({key, reason, permanent});
}

}  // namespace

void SkipTally::skip(const RecordKey& key, const std::string& reason, bool permanent) {
  ++result_.skipped;
  if (!permanent) ++result_.failed;
  count_reason(reason);
  list(result_.skipped_records, key, reason, permanent);
}

void SkipTally::block(const RecordKey& key, const std::string& reason) {
  ++result_.blocked;
  list(result_.blocked_records, key, reason, true);
  // The rules, without the places.
  std::string rules;
  for (std::size_t at = 0; at < reason.size();) {
    const std::size_t end = std::min(reason.find(", ", at), reason.size());
    const std::string rule = reason.substr(at, std::min(reason.find(" at ", at), end) - at);
    if (rules.find(rule) == std::string::npos) rules += (rules.empty() ? "" : ", ") + rule;
    at = end + 2;
  }
  count_reason("blocked: " + rules);
}

/// Reasons that differ in numbers only are one.
void SkipTally::count_reason(const std::string& reason) {
  std::string kind;
  bool in_number = false;
  for (const char c : reason) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) kind += c;
    if (digit && !in_number) kind += 'N';
    in_number = digit;
  }
  auto& reasons = result_.skipped_by_reason;
  if (reasons.size() >= kMaxReasons && !reasons.contains(kind)) kind = "other";
  ++reasons[kind];
}

}  // namespace nearlite
