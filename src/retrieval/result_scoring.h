#pragma once

#include <map>
#include <string>
#include <vector>

#include "nearlite/retrieval/universal_retriever.h"

namespace nearlite {

/// What is known beside the results themselves.
struct ScoringContext {
  const RetrieverOptions& options;
  const RetrieveOptions& asked;
  const std::map<std::string, Reliability>& reliability;
  const RankingModel* ranker = nullptr;  // may be null
};

/// The score of the match alone, 0 to 1, with its parts. by_distance: 1 / (1 + d) of the reference.
void score_match(RetrievalHit& hit, bool by_distance);

/// What a signal says of a row by itself, 0 to 1 (reference 6.5): with L = ln(1 + value), usage is
/// L / (5 + L), roi r / (1 + r) of what is above 0, the others L / (1 + L).
double context_of(const std::string& signal, double value);

/// The results' score out of their match and their signals, with its parts and the reason; links
/// are not in it yet. A signal counts as a share of the largest of its name among the results.
void score_results(std::vector<ResultBundle>& results, const ScoringContext& context);

/// At most 1, also after links.
void bound(ResultBundle& result);

/// What the ranking model may ask for of a result.
std::map<std::string, double> features_of(const ResultBundle& result,
                                          const Reliability& reliability);

}  // namespace nearlite
