#include "nearlite/retrieval/governed_hit.h"

#include <algorithm>
#include <cctype>

#include "nearlite/base/checksum.h"

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

std::string fingerprint_of(const std::string& text) {
  std::string bare;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0)
      bare += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return sha256_hex(bare);
}

/// True: something was replaced.
bool redact(const Gate& gate, std::string& text) {
  GateDecision decision = gate.check(text);
  if (decision.text.empty() || decision.text == text) return false;
  text = std::move(decision.text);
  return true;
}

}  // namespace

HitGovernance govern_retrieval(const Gate& gate, const std::string& text,
                               std::vector<std::pair<std::string, Value>>& fields,
                               std::string& reason, double max_alert_severity) {
  HitGovernance governance;
  for (const GateFinding& finding : gate.check(text).findings) {
    if (finding.kind == RuleKind::kLicence) {
      if (governance.license.empty()) governance.license = finding.rule;
      governance.dropped = governance.dropped || finding.action >= GateAction::kQuarantine;
    } else if (finding.kind == RuleKind::kRisk) {
      const double severity = severity_of(finding.action);
      governance.semantic_alerts.push_back({finding.rule, severity});
      governance.alignment_severity = std::max(governance.alignment_severity, severity);
    }
  }
  if (!governance.license.empty()) governance.license_fingerprint = fingerprint_of(text);
  governance.dropped = governance.dropped || governance.alignment_severity > max_alert_severity;
  for (auto& [name, value] : fields) {
    if (auto* field = std::get_if<std::string>(&value))
      governance.redacted = redact(gate, *field) || governance.redacted;
  }
  governance.redacted = redact(gate, reason) || governance.redacted;
  return governance;
}

}  // namespace nearlite
