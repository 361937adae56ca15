#include "result_bundles.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

/// Seconds since then; nothing where the row says it in a way of its own.
std::optional<double> age_of(const std::string& last_updated, const Clock& clock) {
  try {
    return std::chrono::duration<double>(clock.now() - parse_rfc3339(last_updated)).count();
  } catch (const InvalidArgument&) {
    return std::nullopt;
  }
}

/// Length as JSON / 4.
std::size_t tokens_of(const std::vector<std::pair<std::string, Value>>& fields) {
  std::size_t length = 2;
  for (const auto& [name, value] : fields) length += name.size() + text_of(value).size() + 6;
  return length / 4;
}

}  // namespace

ResultBundle bundle_of(RetrievalHit hit, const std::string& origin, const Clock& clock) {
  ResultBundle bundle;
  bundle.origin_db = origin;
  bundle.store = hit.store;
  bundle.record_id = hit.key.display();
  bundle.metadata = std::move(hit.fields);
  bundle.confidence = hit.confidence;
  bundle.similarity = hit.similarity;
  bundle.vector_distance = hit.distance;
  bundle.snippet = std::move(hit.snippet);
  bundle.kind = std::move(hit.kind);
  bundle.age = age_of(hit.last_updated, clock);
  bundle.signals = std::move(hit.signals);
  bundle.parts = std::move(hit.parts);
  bundle.score = hit.score;
  if (hit.governance) bundle.governance = *std::move(hit.governance);
  return bundle;
}

std::optional<std::int64_t> row_id(const RetrievalHit& hit) {
  if (!hit.key.table.empty()) return std::nullopt;
  const std::vector<Value> values = hit.key.values();
  if (values.size() != 1 || !std::holds_alternative<std::int64_t>(values[0])) return std::nullopt;
  return std::get<std::int64_t>(values[0]);
}

RetrievalOutcome outcome_of(const ResultBundle& bundle, const Reliability& reliability) {
  const auto signal = [&](const char* name) {
    const auto found = bundle.signals.find(name);
    return found == bundle.signals.end() ? 0 : found->second;
  };
  RetrievalOutcome outcome;
  outcome.origin_db = bundle.origin_db;
  outcome.db_type = bundle.kind;
  outcome.record_id = outcome.vector_id = bundle.record_id;
  outcome.score = bundle.score;
  outcome.win_rate = reliability.win_rate;
  outcome.regret_rate = reliability.regret_rate;
  outcome.reliability_score = reliability.score();
  outcome.sample_count = reliability.sample_count;
  outcome.age = bundle.age;
  outcome.similarity = std::isfinite(bundle.similarity) ? bundle.similarity : 0;
  outcome.context_score = bundle.context_score;
  outcome.frequency = signal("frequency");
  outcome.roi_delta = signal("roi");
  outcome.usage = signal("usage");
  outcome.tokens = tokens_of(bundle.metadata);
  return outcome;
}

ConfidentHit confident_hit(ResultBundle bundle, bool by_formula) {
  ConfidentHit hit;
  hit.source = std::move(bundle.origin_db);
  hit.record_id = std::move(bundle.record_id);
  hit.item = std::move(bundle.metadata);
  hit.score = bundle.score;
  hit.confidence = by_formula ? std::optional(bundle.score) : bundle.confidence;
  hit.reason = std::move(bundle.reason);
  hit.license = std::move(bundle.governance.license);
  hit.license_fingerprint = std::move(bundle.governance.license_fingerprint);
  hit.semantic_alerts = std::move(bundle.governance.semantic_alerts);
  hit.alignment_severity = bundle.governance.alignment_severity;
  return hit;
}

}  // namespace nearlite
