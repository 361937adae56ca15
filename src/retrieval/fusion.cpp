#include "fusion.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>
#include <utility>

namespace nearlite {

Evidence evidence_of(const Candidate& candidate, const CandidateResult& result, SearchMode mode) {
  Evidence evidence;
  evidence.similarity = candidate.similarity.value_or(0.0F);
  if (result.greatest_keyword > 0) evidence.keyword = candidate.keyword / result.greatest_keyword;
  switch (mode) {
    case SearchMode::kVector:
      evidence.score = evidence.similarity;
      break;
    case SearchMode::kKeyword:
      evidence.score = evidence.keyword;
      break;
    case SearchMode::kHybrid:
      evidence.score =
          result.has_keywords ? (evidence.similarity + evidence.keyword) / 2 : evidence.similarity;
      break;
  }
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
