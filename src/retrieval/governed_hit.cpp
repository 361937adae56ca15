#include "nearlite/retrieval/governed_hit.h"

#include <algorithm>

#include "nearlite/base/checksum.h"
#include "nearlite/base/names.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite {
namespace {

double severity_of(GateAction action) {
  switch (action) {
    case GateAction::kAllow:
      return 0.25;
    case GateAction::kRedact:
      return 0.5;
    case GateAction::kQuarantine:
      return 0.75;
    case GateAction::kBlock:
      break;
  }
  return 1;
}

/// A rule alerts once, however often it is found in the parts of a hit.
void alert(const GateFinding& finding, HitGovernance& governance) {
  const double severity = severity_of(finding.action);
  auto& alerts = governance.semantic_alerts;
  if (std::ranges::find(alerts, finding.rule, &SemanticAlert::rule) == alerts.end())
    alerts.push_back({finding.rule, severity});
  governance.alignment_severity = std::max(governance.alignment_severity, severity);
}

/// The text as it may be shown.
std::string look_at(const Gate& gate, std::string_view text, HitGovernance& governance) {
  GateDecision decision = gate.check(text);
  for (const GateFinding& finding : decision.findings) {
    if (finding.kind == RuleKind::kRisk) alert(finding, governance);
    if (finding.kind != RuleKind::kLicence) continue;
    if (governance.license.empty()) {
      governance.license = license_id(finding.rule);
      governance.license_fingerprint = text_fingerprint(text);
    }
    if (finding.action >= GateAction::kQuarantine) governance.forbidden = true;
  }
  return decision.text.empty() ? std::string(text) : std::move(decision.text);
}

void redact(const Gate& gate, std::string& text, HitGovernance& governance) {
  std::string shown = look_at(gate, text, governance);
  if (shown == text) return;
  text = std::move(shown);
  governance.redacted = true;
}

}  // namespace

std::string license_id(std::string_view rule) {
  std::string id(rule);
  std::ranges::transform(id, id.begin(), [](char c) {
    return static_cast<char>(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
  });
  return id;
}

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

HitGovernance govern_hit(const Gate& gate, RetrievalHit& hit, std::string_view text,
                         double max_alert_severity) {
  HitGovernance governance;
  if (!text.empty()) look_at(gate, text, governance);
  redact(gate, hit.snippet, governance);
  for (auto& [name, value] : hit.fields) {
    if (auto* field = std::get_if<std::string>(&value)) redact(gate, *field, governance);
  }
  redact(gate, hit.reason, governance);
  if (governance.alignment_severity > max_alert_severity) governance.forbidden = true;
  return governance;
}

}  // namespace nearlite
