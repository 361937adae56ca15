#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nearlite/retrieval/governed_hit.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::vector_service {

/// How entries of a context are weighed (docs/guides/facades.md has the formula).
struct ContextSettings {
  double ranking_weight = 1;
  double roi_weight = 1;
  double recency_weight = 1;
  double safety_weight = 1;
  double regret_penalty = 1;
  double alignment_penalty = 1;
  double alert_penalty = 1;
  double risk_penalty = 1;
  double enhancement_weight = 1;
  double prompt_score_weight = 1;
  std::size_t prompt_max_tokens = 800;
  double max_alignment_severity = 1;  // rows with graver alerts are left out
  std::size_t max_alerts = 5;         // rows with more are left out
  std::size_t max_diff_lines = 200;   // of a patch
  std::set<std::string> license_denylist = default_license_denylist();
  std::map<std::string, double> roi_tag_penalties{};  // taken off the score of a row with this tag
  std::map<std::string, double> db_weights{};         // by origin; 1 if absent
};

/// One row or patch of a context.
struct ContextEntry {
  std::string origin{};
  std::string store{};
  RecordKey key{};
  double score = 0;       // what it is ordered by
  double similarity = 0;  // NaN if it was not compared by vector
  std::string reason{};
  bool stale = false;
  bool shortened = false;
  std::string desc{};                                   // the passage that answers, cut to fit
  std::vector<std::pair<std::string, Value>> fields{};  // exposed columns, where short

  double metric = 0;                   // what speaks for its kind of row: frequency, ROI, runs, ...
  double roi = 0;                      // as the row or patch says
  std::optional<double> risk_score{};  // as the row says, or likeness to failures; nothing: unknown
  double enhancement_score = 0;
  double win_rate = 0;  // of its origin
  double regret_rate = 0;
  double recency = 0;  // 1 / (1 + days since its time); 0 without one
  std::string ts{};    // its time, as the row says it
  HitGovernance flags{};
};

}  // namespace nearlite::vector_service
