#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nearlite/governance/gate.h"
#include "nearlite/store/connection.h"

namespace nearlite {

/// A risk found in the text of a hit: a rule of the kind risk (docs/guides/governance.md).
struct SemanticAlert {
  std::string rule{};
  double severity =
      0;  // 0 to 1, by what the rule does: 0.25 report, 0.5 redact, 0.75 quarantine, 1
};

/// What governance says of a hit before it is shown (reference 4.5).
struct HitGovernance {
  std::string license{};              // the rule that names it: "gpl-3.0"; "": none was found
  std::string license_fingerprint{};  // SHA-256 of the text without blanks and in lower case
  std::vector<SemanticAlert> semantic_alerts{};
  double alignment_severity = 0;  // the greatest of the alerts
  bool redacted = false;          // in fields or reason
  bool dropped = false;           // not to be shown: a licence that is enforced, or too severe
};

/// Checks the text of a hit, and redacts what its fields and its reason hold of secrets. A licence
/// drops the hit where the gate of its store would not embed it now; an alert where its severity is
/// above the limit.
HitGovernance govern_retrieval(const Gate& gate, const std::string& text,
                               std::vector<std::pair<std::string, Value>>& fields,
                               std::string& reason, double max_alert_severity = 1.0);

}  // namespace nearlite
