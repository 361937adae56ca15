#include "context_scoring.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

#include "hit_fields.h"
#include "nearlite/base/error.h"

namespace nearlite::vector_service {
namespace {

constexpr std::size_t kLongestField = 200;  // bytes; longer ones are texts, not labels

/// The groups in their order; stores of one's own come behind, by name.
constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kGroups = {
    {{"error", "errors"},
     {"bot", "bots"},
     {"workflow", "workflows"},
     {"enhancement", "enhancements"},
     {"action", "actions"},
     {"info", "information"},
     {"information", "information"},
     {"code", "code"},
     {"discrepancy", "discrepancies"},
     {"patch", "patches"},
     {"stack", "stack"}}};

/// What speaks for a row of each kind: the first of these that it has.
constexpr std::array<std::pair<std::string_view, std::array<const char*, 4>>, 7> kMetrics = {
    {{"bots", {"roi", "deploy_count", "deploy", nullptr}},
     {"workflows", {"roi", "usage", "runs", nullptr}},
     {"enhancements", {"roi", "adoption", nullptr, nullptr}},
     {"information", {"roi", "data_depth", "data_depth_score", "quality"}},
     {"code", {"roi", "patch_success", nullptr, nullptr}},
     {"discrepancies", {"roi", "severity", "impact", nullptr}},
     {"patches", {"roi", nullptr, nullptr, nullptr}}}};

/// -1 to 1: a row with a profit of thousands must not outweigh what the question says.
double bounded(double value) { return value / (1 + std::abs(value)); }

double metric_of(const RetrievalHit& hit, const std::string& group) {
  if (group == "errors") return 1 / (1 + std::max(0.0, field_number(hit, "frequency")));
  for (const auto& [name, fields] : kMetrics) {
    if (name != group) continue;
    for (const char* field : fields) {
      if (field == nullptr) break;
      if (const double value = field_number(hit, field); value != 0) return value;
    }
  }
  return 0;
}

void read_time(ContextEntry& entry, const RetrievalHit& hit, const ContextScoring& scoring) {
  for (const char* name :
       {"timestamp", "ts", "created_at", "updated_at", "last_modification_date"}) {
    entry.ts = field_text(hit, name);
    if (entry.ts.empty()) continue;
    try {
      const std::chrono::duration<double, std::ratio<86400>> days =
          scoring.now - parse_rfc3339(entry.ts);
      entry.recency = 1 / (1 + std::max(0.0, days.count()));
      return;
    } catch (const InvalidArgument&) {
      entry.ts.clear();  // no time in a form that we know
    }
  }
}

void weigh(ContextEntry& entry, double evidence, const std::string& roi_tag,
           const ContextScoring& scoring) {
  const ContextSettings& set = scoring.settings;
  if (const auto known = scoring.reliability.find(entry.origin);
      known != scoring.reliability.end()) {
    entry.win_rate = known->second.win_rate;
    entry.regret_rate = known->second.regret_rate;
  }
  const bool denied = set.license_denylist.contains(entry.flags.license);
  const double alerts = static_cast<double>(entry.flags.semantic_alerts.size());
  const double severity = entry.flags.alignment_severity;
  const double weight_of_rank = set.ranking_weight * (set.roi_weight > 0 ? set.roi_weight : 1);
  double score = evidence * weight_of_rank *
                 (1 + bounded(std::max(0.0, entry.enhancement_score)) * set.enhancement_weight) *
                 (1 + bounded(entry.roi) * set.roi_weight);
  score -= set.safety_weight *
           (entry.regret_rate * set.regret_penalty + severity * set.alignment_penalty +
            alerts * set.alert_penalty + (denied ? 1 : 0));
  score -= entry.risk_score.value_or(0) * set.risk_penalty * weight_of_rank * set.safety_weight;
  if (const auto penalty = set.roi_tag_penalties.find(roi_tag);
      penalty != set.roi_tag_penalties.end())
    score -= penalty->second;
  const auto weight = set.db_weights.find(entry.origin);
  entry.score = score * (weight == set.db_weights.end() ? 1 : weight->second);
  entry.metric += set.safety_weight * (entry.win_rate - entry.regret_rate) - alerts -
                  set.safety_weight * severity - (denied ? set.safety_weight : 0);
}

std::size_t place_of(const std::string& origin, const std::vector<std::string>& first) {
  const std::string group = group_of(origin);
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (first[i] == group || first[i] == origin) return i;
  }
  for (std::size_t i = 0; i < kGroups.size(); ++i) {
    if (kGroups.at(i).second == group) return first.size() + i;
  }
  return first.size() + kGroups.size();
}

std::string first_lines(const std::string& text, std::size_t lines) {
  std::size_t at = 0;
  for (; lines > 0 && at < text.size(); --lines)
    at = std::min(text.find('\n', at), text.size()) + 1;
  return at >= text.size() ? text : text.substr(0, at - 1) + "\n...";
}

}  // namespace

std::string group_of(const std::string& origin) {
  for (const auto& [known, group] : kGroups) {
    if (origin == known) return std::string(group);
  }
  return origin;
}

void sort_by_group(std::vector<ContextEntry>& entries, const std::vector<std::string>& first) {
  std::ranges::stable_sort(entries, [&](const ContextEntry& a, const ContextEntry& b) {
    return std::tuple(place_of(a.origin, first), group_of(a.origin), -a.score) <
           std::tuple(place_of(b.origin, first), group_of(b.origin), -b.score);
  });
}

ContextEntry entry_of(const RetrievalHit& hit, HitGovernance flags, double risk,
                      const ContextScoring& scoring) {
  ContextEntry entry{.origin = hit.origin,
                     .store = hit.store,
                     .key = hit.key,
                     .similarity = hit.similarity,
                     .reason = hit.reason,
                     .stale = hit.stale,
                     .desc = hit.snippet,
                     .flags = std::move(flags)};
  entry.metric = metric_of(hit, group_of(hit.origin));
  entry.roi = field_number(hit, "roi");
  entry.enhancement_score = field_number(hit, "enhancement_score");
  if (const double own = field_number(hit, "risk_score", -1); own >= 0 || risk > 0)
    entry.risk_score = std::max(own, risk);
  read_time(entry, hit, scoring);
  weigh(entry, hit.score, field_text(hit, "roi_tag"), scoring);
  for (const auto& [name, value] : hit.fields) {
    const auto* text = std::get_if<std::string>(&value);
    const bool shown_already = text != nullptr && hit.snippet.find(*text) != std::string::npos;
    const bool label = text == nullptr || (text->size() <= kLongestField && !text->empty());
    if (label && !shown_already && !std::holds_alternative<std::monostate>(value) &&
        !std::holds_alternative<Blob>(value))
      entry.fields.emplace_back(name, value);
  }
  return entry;
}

ContextEntry entry_of(const FoundPatch& found, const ContextScoring& scoring) {
  const PatchRecord& patch = found.patch;
  ContextEntry entry{.origin = "patch",
                     .store = "patch",
                     .key = RecordKey(patch.patch_id),
                     .similarity = found.similarity,
                     .reason = "resembles a patch of the past",
                     .desc = patch.summary};
  entry.metric = entry.roi = patch.roi_delta;
  entry.ts = patch.ts;
  if (!patch.diff.empty())
    entry.fields.emplace_back("diff", first_lines(patch.diff, scoring.settings.max_diff_lines));
  if (!patch.outcome.empty()) entry.fields.emplace_back("outcome", patch.outcome);
  entry.fields.emplace_back("roi_delta", patch.roi_delta);
  entry.fields.emplace_back("lines_changed", static_cast<std::int64_t>(patch.lines_changed));
  entry.fields.emplace_back("tests_passed", static_cast<std::int64_t>(patch.tests_passed));
  weigh(entry, found.score, patch.roi_tag, scoring);
  return entry;
}

}  // namespace nearlite::vector_service
