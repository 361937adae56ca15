#pragma once

#include <string>
#include <vector>

#include "nearlite/embeddable/candidates.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite {

/// What speaks for a candidate, in numbers that mean the same in every store.
struct Evidence {
  double similarity = 0;  // cosine; 0 if unknown
  double keyword = 0;     // BM25 as a share of the greatest that any passage could have: 0 to 1
  double score = 0;       // the mode's: the one, the other, or the mean of both
};

/// The evidence of a candidate of `result`. Hybrid is the even mean, which was set before it was
/// measured; a store whose texts have no words yet is judged by its vectors alone.
Evidence evidence_of(const Candidate& candidate, const CandidateResult& result, SearchMode mode);

/// Best first: exact matches before all others, then by score, then by key.
void order_candidates(CandidateResult& result, SearchMode mode);

/// "high vector similarity (similarity=0.71)": the part that contributes most.
std::string reason_of(const Candidate& candidate, const Evidence& evidence, SearchMode mode);

}  // namespace nearlite
