#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/governance/gate.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::vector_service {

/// Something in a text that could do harm, e.g. "untrusted pickle load".
struct SemanticAlert {
  std::string rule{};
  double severity = 0;  // 0 to 1
};

/// What the gate found in what a hit would show.
struct GovernanceFlags {
  std::string license{};              // "GPL-3.0"; empty: none was recognized
  std::string license_fingerprint{};  // of the text that has it; empty without a license
  std::vector<SemanticAlert> semantic_alerts{};
  double alignment_severity = 0;  // of the gravest alert
  bool redacted = false;          // a secret was replaced
};

/// The licenses that nothing with them is shown of by default: GPL-2.0, GPL-3.0, LGPL-3.0,
/// AGPL-3.0, CC-BY-NC-4.0.
const std::set<std::string>& default_license_denylist();

/// SHA-256 of the text in lower case without its blanks: equal for equal license texts.
std::string text_fingerprint(std::string_view text);

/// Looks at everything of a hit that would leave: passage, fields and reason. Secrets and personal
/// data in them are replaced by [REDACTED].
GovernanceFlags govern_hit(RetrievalHit& hit, const Gate& gate);
/// The same for a plain text.
GovernanceFlags govern_text(std::string& text, const Gate& gate);

}  // namespace nearlite::vector_service
