#pragma once

#include <string>
#include <vector>

#include "nearlite/embeddable/candidates.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite {

/// What speaks for a candidate, in numbers that mean the same in every store.
struct Evidence {
  double similarity = 0;  // cosine; 0 if unknown
  double feedback = 0;    // cosine with the mean of the store's best candidates
  double keyword = 0;     // BM25 as a share of the greatest that any passage could have: 0 to 1
  double score = 0;       // the mode's: the one, the other, or the mean of both
};

/// The share of each in Evidence::score.
struct EvidenceWeights {
  double similarity = 0;
  double feedback = 0;
  double keyword = 0;
};
/// Hybrid is the even mean of meaning and words; a store whose texts have no words yet is judged by
/// its vectors alone. With feedback (CandidateResult::feedback_scale), meaning is the cosine with
/// the direction midway between the question and its best candidates, which is a weighted sum of
/// two cosines.
EvidenceWeights weights_of(const CandidateResult& result, SearchMode mode);

/// The evidence of a candidate of `result`.
Evidence evidence_of(const Candidate& candidate, const CandidateResult& result, SearchMode mode);

/// Best first: exact matches before all others, then by score, then by key.
void order_candidates(CandidateResult& result, SearchMode mode);

/// "high vector similarity (similarity=0.71)": the part that contributes most.
std::string reason_of(const Candidate& candidate, const Evidence& evidence, SearchMode mode);

}  // namespace nearlite
