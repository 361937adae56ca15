#include "nearlite/service/cognition_layer.h"

#include <nlohmann/json.hpp>

#include "operation.h"

namespace nearlite::vector_service {

using Json = nlohmann::ordered_json;

CognitionAnswer CognitionLayer::query(std::string_view prompt, const ContextRequest& request) {
  Operation operation("CognitionLayer.query", request.session_id, clock_, log_, metrics_);
  const BuiltContext context = builder_.build_context(prompt, request);
  Json vectors = Json::array();
  for (const auto& [origin, id, score] : context.vectors) {
    // The part behind the store's name is the key; PatchLogger wants origin:key.
    vectors.push_back({origin, id.substr(id.find(':') + 1), score});
  }
  sessions_.keep(context.session_id, vectors.dump(-1, ' ', false, Json::error_handler_t::replace));
  operation.finished(context.entries.size());
  return {context.json, context.session_id};
}

std::future<CognitionAnswer> CognitionLayer::query_async(std::string prompt,
                                                         ContextRequest request) {
  return std::async(std::launch::async, [this, prompt = std::move(prompt),
                                         request = std::move(request)] {
    Operation operation("CognitionLayer.query_async", request.session_id, clock_, log_, metrics_);
    CognitionAnswer answer = query(prompt, request);
    operation.finished(1);
    return answer;
  });
}

std::optional<TrackedPatch> CognitionLayer::record_patch_outcome(const std::string& session_id,
                                                                 PatchOutcome outcome) {
  const auto kept = sessions_.find(session_id);
  if (!kept) return std::nullopt;
  std::vector<Contributor> contributors;
  std::vector<std::string> origins;
  const Json vectors = Json::parse(*kept, nullptr, false);
  if (vectors.is_array()) {
    for (const Json& vector : vectors) {
      if (!vector.is_array() || vector.size() != 3 || !vector[0].is_string() ||
          !vector[1].is_string() || !vector[2].is_number())
        continue;
      Contributor contributor;
      contributor.origin = vector[0].get<std::string>();
      contributor.vector_id = vector[1].get<std::string>();
      contributor.score = vector[2].get<double>();
      contributors.push_back(std::move(contributor));
    }
  }
  outcome.session_id = session_id;
  const TrackedPatch tracked = logger_.track_contributors(contributors, outcome);
  update_ranker(tracked, outcome.result);
  for (const auto& [origin, roi] : tracked.roi_deltas) {
    events_.publish("retrieval:feedback",
                    Json{{"db", origin},
                         {"roi", roi},
                         {"win", outcome.result},
                         {"risk", tracked.risks.at(origin)},
                         {"weight", weights_.db_weights()[origin]}}
                        .dump(-1, ' ', false, Json::error_handler_t::replace));
    if (!outcome.result || roi < 0) origins.push_back(origin);
  }
  if (!origins.empty() && backfill_) backfill_(origins);
  sessions_.forget(session_id);
  return tracked;
}

std::future<std::optional<TrackedPatch>> CognitionLayer::record_patch_outcome_async(
    std::string session_id, PatchOutcome outcome) {
  return std::async(std::launch::async,
                    [this, session_id = std::move(session_id), outcome = std::move(outcome)] {
                      return record_patch_outcome(session_id, outcome);
                    });
}

void CognitionLayer::update_ranker(const TrackedPatch& tracked, bool result) {
  constexpr double kStep = 0.1;
  for (const auto& [origin, roi] : tracked.roi_deltas) {
    double change = roi != 0 ? roi : (result ? kStep : -kStep);
    const auto risk = tracked.risks.find(origin);
    if (risk != tracked.risks.end() && risk->second >= PatchLogger::kRiskThreshold)
      change -= risk->second;
    weights_.adjust_db(origin, change);
  }
  weights_.normalize_dbs();
  builder_.refresh_db_weights();
}

}  // namespace nearlite::vector_service
