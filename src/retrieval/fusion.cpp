#include "fusion.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>
#include <utility>

namespace nearlite {
EvidenceWeights weights_of(const CandidateResult& result, SearchMode mode) {
  if (mode == SearchMode::kKeyword) return {.similarity = 0, .feedback = 0, .keyword = 1};
  const bool by_words = mode == SearchMode::kHybrid && result.has_keywords;
  const double meaning = by_words ? 0.5 : 1;
  EvidenceWeights weights = {.similarity = meaning, .feedback = 0, .keyword = 1 - meaning};
  if (mode == SearchMode::kHybrid && result.feedback_scale > 0)
    weights.similarity = weights.feedback = meaning * result.feedback_scale;
  return weights;
}

Evidence evidence_of(const Candidate& candidate, const CandidateResult& result, SearchMode mode) {
  Evidence evidence;
  evidence.similarity = candidate.similarity.value_or(0.0F);
  evidence.feedback = candidate.feedback;
  if (result.greatest_keyword > 0) evidence.keyword = candidate.keyword / result.greatest_keyword;
  const EvidenceWeights weights = weights_of(result, mode);
  evidence.score = weights.similarity * evidence.similarity + weights.feedback * evidence.feedback +
                   weights.keyword * evidence.keyword;
  return evidence;
}

void order_candidates(CandidateResult& result, SearchMode mode) {
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < result.candidates.size(); ++i)
    order.emplace_back(evidence_of(result.candidates[i], result, mode).score, i);
  std::ranges::sort(order, [&](const auto& a, const auto& b) {
    const Candidate& first = result.candidates[a.second];
    const Candidate& second = result.candidates[b.second];
    if (first.exact != second.exact) return first.exact;
    if (a.first != b.first) return a.first > b.first;
    return is_before(first.key, second.key);
  });
  std::vector<Candidate> ordered;
  ordered.reserve(order.size());
  for (const auto& [score, place] : order) ordered.push_back(std::move(result.candidates[place]));
  result.candidates = std::move(ordered);
}

std::string reason_of(const Candidate& candidate, const Evidence& evidence, SearchMode mode) {
  std::array<char, 80> text{};
  const bool by_words = mode == SearchMode::kKeyword ||
                        (mode == SearchMode::kHybrid && evidence.keyword > evidence.similarity);
  if (candidate.exact && candidate.keyword > 0) {
    std::snprintf(text.data(), text.size(), "exact match of what was asked for (keyword=%.2f)",
                  candidate.keyword);
  } else if (by_words) {
    std::snprintf(text.data(), text.size(), "matching words (keyword=%.2f)", candidate.keyword);
  } else {
    std::snprintf(text.data(), text.size(), "high vector similarity (similarity=%.2f)",
                  evidence.similarity);
  }
  return text.data();
}

}  // namespace nearlite
