#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/governance/gate.h"

namespace nearlite {

struct RetrievalHit;

/// A risk found in the text of a hit: a rule of the kind risk (docs/guides/governance.md).
struct SemanticAlert {
  std::string rule{};  // "eval-use"
  // 0 to 1, by what the rule does: 0.25 report, 0.5 redact, 0.75 quarantine, 1 block
  double severity = 0;
};

/// What governance says of a hit before it is shown (reference 4.5).
struct HitGovernance {
  std::string license{};                         // "GPL-3.0"; empty: none was recognized
  std::string license_fingerprint{};             // of the text that has it; empty without a license
  std::vector<SemanticAlert> semantic_alerts{};  // one per rule
  double alignment_severity = 0;                 // of the gravest alert
  bool redacted = false;                         // a secret was replaced
  bool forbidden = false;  // a license that the gate does not let in, or too grave an alert
};

/// The licenses that nothing with them is shown of by default, where no store's gate decides:
/// GPL-2.0, GPL-3.0, LGPL-3.0, AGPL-3.0, CC-BY-NC-4.0.
const std::set<std::string>& default_license_denylist();

/// SHA-256 of the text in lower case without its blanks: equal for equal license texts.
std::string text_fingerprint(std::string_view text);

/// The identifier of a license rule: "gpl-3.0" is "GPL-3.0".
std::string license_id(std::string_view rule);

/// Looks at the row's whole text, where it is known, and at everything of the hit that would
/// leave: fields, passage and reason. Secrets and personal data in the latter are replaced by
/// [REDACTED]. An alert forbids the hit where its severity is above the limit.
HitGovernance govern_hit(const Gate& gate, RetrievalHit& hit, std::string_view text = {},
                         double max_alert_severity = 1.0);

}  // namespace nearlite
