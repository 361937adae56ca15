#include "nearlite/service/hit_governance.h"

#include <algorithm>

#include "nearlite/base/checksum.h"
#include "nearlite/base/names.h"

namespace nearlite::vector_service {
namespace {

/// The rules are named like the identifiers, in lower case but for the letters of a name.
std::string license_id(const std::string& rule) {
  std::string id = rule;
  std::ranges::transform(id, id.begin(), [](char c) {
    return static_cast<char>(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
  });
  return id;
}

void look_at(std::string& text, const Gate& gate, GovernanceFlags& flags) {
  const GateDecision decision = gate.check(text);
  for (const GateFinding& finding : decision.findings) {
    if (finding.kind == RuleKind::kLicence && flags.license.empty()) {
      flags.license = license_id(finding.rule);
      flags.license_fingerprint = text_fingerprint(text);
    }
    if (finding.kind == RuleKind::kRisk) {
      flags.semantic_alerts.push_back({finding.rule, 1});
      flags.alignment_severity = 1;
    }
  }
  if (decision.text.empty() || decision.text == text) return;
  text = decision.text;
  flags.redacted = true;
}

}  // namespace

const std::set<std::string>& default_license_denylist() {
  static const std::set<std::string> kDenied = {"GPL-2.0", "GPL-3.0", "LGPL-3.0", "AGPL-3.0",
                                                "CC-BY-NC-4.0"};
  return kDenied;
}

std::string text_fingerprint(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (std::string_view(" \t\r\n\v\f").find(c) == std::string_view::npos) plain += c;
  }
  return sha256_hex(to_lower_ascii(plain));
}

GovernanceFlags govern_text(std::string& text, const Gate& gate) {
  GovernanceFlags flags;
  look_at(text, gate, flags);
  return flags;
}

GovernanceFlags govern_hit(RetrievalHit& hit, const Gate& gate) {
  GovernanceFlags flags;
  look_at(hit.snippet, gate, flags);
  for (auto& [name, value] : hit.fields) {
    if (auto* text = std::get_if<std::string>(&value)) look_at(*text, gate, flags);
  }
  look_at(hit.reason, gate, flags);
  return flags;
}

}  // namespace nearlite::vector_service
