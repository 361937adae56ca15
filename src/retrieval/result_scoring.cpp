// Scores of results: the documented formula of the reference (6.5), and its later one.
#include "result_scoring.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "scoring.h"

namespace nearlite {
namespace {

struct Phrase {
  std::string_view signal;
  const char* phrase;
};
constexpr std::array kPhrases = {Phrase{"similarity", "high vector similarity"},
                                 Phrase{"feedback", "like the best of its store"},
                                 Phrase{"keyword", "matching words"},
                                 Phrase{"exact", "exact match of what was asked for"},
                                 Phrase{"roi", "high ROI uplift"},
                                 Phrase{"frequency", "frequent error recurrence"},
                                 Phrase{"usage", "heavy usage"},
                                 Phrase{"deploy", "widely deployed bot"},
                                 Phrase{"complexity", "high code complexity"},
                                 Phrase{"win_rate", "high historical win rate"},
                                 Phrase{"regret_rate", "low regret rate"},
                                 Phrase{"stale_cost", "fresh embedding"}};

/// The phrase of the part that contributes most, with the value that people know it by. Only
/// contributions are compared: values of different signals have different scales.
std::string reason_of(const ResultBundle& result) {
  const auto best = std::ranges::max_element(result.parts, {}, &SignalPart::contribution);
  if (best == result.parts.end()) return "relevant match";
  const auto phrase = std::ranges::find(kPhrases, best->signal, &Phrase::signal);
  double value = best->value;
  if (const auto raw = result.signals.find(best->signal); raw != result.signals.end())
    value = raw->second;
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%s (%s=%.2f)",
                phrase == kPhrases.end() ? "relevant match" : phrase->phrase, best->signal.c_str(),
                value);
  return text.data();
}

bool is_of_the_match(const std::string& signal) {
  return signal == "similarity" || signal == "keyword";
}

void add_up(ResultBundle& result) {
  result.score = 0;
  for (SignalPart& part : result.parts) {
    part.contribution = part.weight * part.value;
    result.score += part.contribution;
  }
}

/// The mean of the match and of each signal as a share of the largest of its name.
void score_by_mean(std::vector<ResultBundle>& results) {
  std::map<std::string, double> largest;
  for (const ResultBundle& result : results) {
    for (const auto& [name, value] : result.signals) {
      if (!is_of_the_match(name)) largest[name] = std::max(largest[name], value);
    }
  }
  for (ResultBundle& result : results) {
    std::vector<SignalPart> signals;
    for (const auto& [name, value] : result.signals) {
      const auto greatest = largest.find(name);
      if (greatest == largest.end()) continue;
      signals.push_back({name, greatest->second > 0 ? std::max(value, 0.0) / greatest->second : 0});
    }
    const double weight = 1 / static_cast<double>(signals.size() + 1);
    for (SignalPart& part : result.parts) part.weight *= weight;
    for (SignalPart& part : signals) {
      part.weight = weight;
      result.parts.push_back(part);
    }
    add_up(result);
  }
}

/// The later formula: similarity and context by their weights, then what is known of the store.
/// (1 + win * win_rate - regret * regret_rate) is written as parts, so that they add up.
void score_by_weights(std::vector<ResultBundle>& results, const ScoringContext& context) {
  const RetrievalWeights& weights = context.options.weights;
  double mean_win = 0;
  double mean_regret = 0;
  for (const auto& [origin, known] : context.reliability) {
    const auto count = static_cast<double>(context.reliability.size());
    mean_win += known.win_rate / count;
    mean_regret += known.regret_rate / count;
  }
  const bool adjusted = context.asked.adjust_weights;
  const double win = weights.win * (adjusted ? 1 + mean_win : 1);
  const double regret = weights.regret * (adjusted ? 1 + mean_regret : 1);
  for (ResultBundle& result : results) {
    const auto signal = std::ranges::find_if(
        result.signals, [](const auto& one) { return !is_of_the_match(one.first); });
    const bool has_context = signal != result.signals.end();
    const double match = result.score;
    // What has no context is judged by all of the weight, or it could not exceed its share.
    const double by_match = has_context ? weights.similarity : weights.similarity + weights.context;
    const auto reliability = context.reliability.find(result.origin_db);
    const Reliability known =
        reliability == context.reliability.end() ? Reliability{} : reliability->second;
    double factor = 1;
    if (const auto bias = context.asked.roi_bias.find(result.origin_db);
        bias != context.asked.roi_bias.end())
      factor *= bias->second;
    if (context.options.enable_reliability_bias)
      factor *= std::exp(-weights.stale_cost * known.stale);
    if (context.options.enable_model_ranking && context.ranker != nullptr)
      factor *= context.ranker->probability(features_of(result, known), result.origin_db);
    factor /= 1 + result.governance.alignment_severity;
    result.parts = {{"similarity", match, by_match * factor}};
    double base = by_match * match;
    if (has_context) {
      base += weights.context * result.context_score;
      result.parts.push_back({signal->first, result.context_score, weights.context * factor});
    }
    if (context.options.enable_reliability_bias && known.win_rate > 0)
      result.parts.push_back({"win_rate", known.win_rate, win * base * factor});
    if (context.options.enable_reliability_bias && known.regret_rate > 0)
      result.parts.push_back({"regret_rate", known.regret_rate, -regret * base * factor});
    add_up(result);
  }
}

}  // namespace

void score_match(RetrievalHit& hit, bool by_distance) {
  if (by_distance) {
    const double distance = std::sqrt(std::max(0.0, 2 * (1 - hit.similarity)));
    hit.score = 1 / (1 + distance);
    hit.parts = {{"similarity", hit.score, 1, hit.score}};
    return;
  }
  const double bounded = std::clamp(hit.score, 0.0, 1.0);
  if (hit.score > 0) {
    scale_score(hit, bounded / hit.score);
  } else {
    hit.parts = {{"similarity", bounded, 1, bounded}};
  }
  hit.score = bounded;
}

double context_of(const std::string& signal, double value) {
  const double above = std::max(value, 0.0);
  if (signal == "roi") return above / (1 + above);
  const double level = std::log1p(above);
  return level / ((signal == "usage" ? 5 : 1) + level);
}

void score_results(std::vector<ResultBundle>& results, const ScoringContext& context) {
  if (context.options.scoring == Scoring::kWeighted) {
    score_by_weights(results, context);
  } else {
    score_by_mean(results);
  }
  for (ResultBundle& result : results) result.reason = reason_of(result);
}

void bound(ResultBundle& result) {
  if (result.score <= 1) return;
  for (SignalPart& part : result.parts) {
    part.weight /= result.score;
    part.contribution /= result.score;
  }
  result.score = 1;
}

std::map<std::string, double> features_of(const ResultBundle& result,
                                          const Reliability& reliability) {
  std::map<std::string, double> values = {{"similarity", result.similarity},
                                          {"age", result.age.value_or(0)},
                                          {"context_score", result.context_score},
                                          {"win_rate", reliability.win_rate},
                                          {"regret_rate", reliability.regret_rate}};
  if (!std::isfinite(result.similarity)) values["similarity"] = 0;
  for (const auto& [name, value] : result.signals) {
    if (!is_of_the_match(name)) values[name] = value;
    if (name == "usage") values["exec_freq"] = value;
    if (name == "roi") values["roi_delta"] = value;
  }
  return values;
}

}  // namespace nearlite
