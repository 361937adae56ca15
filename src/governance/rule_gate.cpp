#include "nearlite/governance/rule_gate.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <new>
#include <optional>

#include "nearlite/base/error.h"
#include "nearlite/base/once.h"
#include "rule_checks.h"

namespace nearlite {
namespace {

constexpr std::int64_t kTriggerMemoryBytes = std::int64_t{64} << 20;
constexpr std::size_t kMaxFindings = 10'000;  // of one text and rule
constexpr std::size_t kMaxReasons = 20;

RE2::Options quiet_options() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

const std::string& trigger_of(const Rule& rule) {
  return rule.trigger.empty() ? rule.pattern : rule.trigger;
}

std::unique_ptr<RE2> compiled(const std::string& pattern, const std::string& owner) {
  auto expression = std::make_unique<RE2>(pattern, quiet_options());
  if (!expression->ok()) {
    throw InvalidArgument("the pattern of the rule \"" + owner +
                          "\" is not understood: " + expression->error());
  }
  return expression;
}

void check_rule(const Rule& rule) {
  if (rule.name.empty()) throw InvalidArgument("a rule has no name");
  if (!rule.check.empty() && find_check(rule.check) == nullptr) {
    throw InvalidArgument("the rule \"" + rule.name + "\" names the check \"" + rule.check +
                          "\", which there is not");
  }
}

/// A rule ready to search; its pattern is compiled when a text may hold it.
struct CompiledRule {
  explicit CompiledRule(const Rule& source) : rule(source), check(find_check(source.check)) {}

  const RE2& expression() {
    once.call([this] { pattern = compiled(rule.pattern, rule.name); });
    return *pattern;
  }

  const Rule& rule;
  MatchCheck check;
  Once once;
  std::unique_ptr<RE2> pattern;
};

std::vector<TextSpan> spans_of(CompiledRule& rule, std::string_view text) {
  const RE2& expression = rule.expression();
  const int num_groups = expression.NumberOfCapturingGroups() > 0 ? 2 : 1;
  std::array<re2::StringPiece, 2> groups;
  std::vector<TextSpan> spans;
  std::size_t at = 0;
  while (
      at <= text.size() && spans.size() < kMaxFindings &&
      expression.Match(piece(text), at, text.size(), RE2::UNANCHORED, groups.data(), num_groups)) {
    const bool has_part = num_groups == 2 && groups[1].data() != nullptr;
    const re2::StringPiece& part = has_part ? groups[1] : groups[0];
    const TextSpan found{static_cast<std::size_t>(part.data() - text.data()),
                         static_cast<std::size_t>(part.data() - text.data()) + part.size()};
    const auto counted = rule.check == nullptr ? std::optional(found) : rule.check(text, found);
    if (counted && counted->end > counted->start) spans.push_back(*counted);
    // Behind the part that counts: what stands behind it may be the start of the next match.
    at = std::max(counted ? counted->end : found.end, at + 1);
  }
  return spans;
}

std::string reason_of(const GateFinding& finding) {
  return finding.rule + " at " + std::to_string(finding.start) + "-" + std::to_string(finding.end);
}

std::string redacted(std::string_view text, std::span<const GateFinding> findings) {
  std::string result;
  std::size_t at = 0;
  for (const GateFinding& finding : findings) {  // by start
    if (finding.action != GateAction::kRedact || finding.end <= at) continue;
    if (finding.start >= at) {
      result += text.substr(at, finding.start - at);
      result += kRedacted;
    }
    at = finding.end;
  }
  result += text.substr(at);
  return result;
}

/// RE2 throws through pthread_once where there is no memory; the C library then loads its unwinder,
/// which needs some, or ends the process. When a program starts there is enough of it.
const bool unwinder_loaded = [] {
  static std::once_flag never;
  try {
    std::call_once(never, [] { throw std::bad_alloc(); });
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}();

}  // namespace

struct RuleGate::State {
  RuleSet rules;
  GateLevel level;
  std::string version;
  Once once;
  std::unique_ptr<RE2::Set> triggers;
  std::vector<std::unique_ptr<CompiledRule>> compiled_rules;
  struct CompiledExemption {
    std::unique_ptr<RE2> pattern;
    const std::vector<std::string>* rules;
  };
  std::vector<CompiledExemption> exemptions;

  void compile() {
    compiled_rules.clear();  // of an attempt that found no memory
    exemptions.clear();
    RE2::Options options = quiet_options();
    options.set_max_mem(kTriggerMemoryBytes);
    triggers = std::make_unique<RE2::Set>(options, RE2::UNANCHORED);
    for (const Rule& rule : rules.rules) {
      std::string error;
      if (triggers->Add(piece(trigger_of(rule)), &error) < 0) {
        throw InvalidArgument("the pattern of the rule \"" + rule.name +
                              "\" is not understood: " + error);
      }
      compiled_rules.push_back(std::make_unique<CompiledRule>(rule));
    }
    for (const Exemption& exemption : rules.exemptions) {
      exemptions.push_back({compiled(exemption.pattern, "exempt"), &exemption.rules});
    }
    if (!triggers->Compile()) throw InvalidArgument("the rules together are too large");
  }

  /// Indexes of the rules whose trigger is in the text, ascending.
  std::vector<int> candidates(std::string_view text) const {
    std::vector<int> indexes;
    RE2::Set::ErrorInfo error{};
    if (!triggers->Match(piece(text), &indexes, &error) && error.kind != RE2::Set::kNoError) {
      indexes.resize(compiled_rules.size());  // out of memory: look for every rule
      for (std::size_t i = 0; i < indexes.size(); ++i) indexes[i] = static_cast<int>(i);
    }
    std::ranges::sort(indexes);
    return indexes;
  }

  bool exempt(std::string_view text, TextSpan span, const std::string& rule) const {
    const std::string_view part = text.substr(span.start, span.end - span.start);
    return std::ranges::any_of(exemptions, [&](const CompiledExemption& exemption) {
      const auto& only = *exemption.rules;
      return (only.empty() || std::ranges::find(only, rule) != only.end()) &&
             RE2::PartialMatch(piece(part), *exemption.pattern);
    });
  }

  GateAction action_of(const Rule& rule) const {
    const bool enforced = level == GateLevel::kFull || rule.kind == RuleKind::kSecret;
    return enforced ? rule.action : GateAction::kAllow;
  }

  void find(CompiledRule& rule, std::string_view text, std::vector<GateFinding>& findings) const {
    const std::size_t known = findings.size();
    for (const TextSpan& span : spans_of(rule, text)) {
      if (!exemptions.empty() && exempt(text, span, rule.rule.name)) continue;
      const bool inside = std::any_of(
          findings.begin(), findings.begin() + static_cast<std::ptrdiff_t>(known),
          [&](const GateFinding& other) {
            return other.kind == rule.rule.kind && other.start < span.end && span.start < other.end;
          });
      if (inside) continue;
      findings.push_back(
          {rule.rule.name, rule.rule.kind, span.start, span.end, action_of(rule.rule)});
    }
  }
};

RuleGate::RuleGate(RuleSet rules, GateLevel level) : state_(std::make_unique<State>()) {
  for (const Rule& rule : rules.rules) check_rule(rule);
  state_->rules = std::move(rules);
  state_->level = level;
  state_->version = std::string(gate_level_name(level)) +
                    (level == GateLevel::kOff ? std::string() : "-" + rules_digest(state_->rules));
}

RuleGate::~RuleGate() = default;

const RuleSet& RuleGate::rules() const noexcept { return state_->rules; }
GateLevel RuleGate::level() const noexcept { return state_->level; }
std::string RuleGate::rules_version() const { return state_->version; }

GateDecision RuleGate::check(std::string_view text) const {
  GateDecision decision;
  if (state_->level == GateLevel::kOff) return decision;
  state_->once.call([this] { state_->compile(); });
  for (const int index : state_->candidates(text)) {
    state_->find(*state_->compiled_rules[static_cast<std::size_t>(index)], text, decision.findings);
  }
  std::ranges::stable_sort(decision.findings, {}, &GateFinding::start);
  bool redacts = false;
  std::size_t num_acted = 0;
  for (const GateFinding& finding : decision.findings) {
    decision.action = std::max(decision.action, finding.action);
    redacts |= finding.action == GateAction::kRedact;
    if (finding.action == GateAction::kAllow) continue;
    if (++num_acted <= kMaxReasons) decision.reasons.push_back(reason_of(finding));
  }
  if (num_acted > kMaxReasons)
    decision.reasons.push_back("and " + std::to_string(num_acted - kMaxReasons) + " more");
  if (redacts) decision.text = redacted(text, decision.findings);
  return decision;
}

std::shared_ptr<const Gate> builtin_gate(GateLevel level) {
  if (level == GateLevel::kOff) return std::make_shared<PassAllGate>();
  return std::make_shared<RuleGate>(builtin_rules(), level);
}

}  // namespace nearlite
