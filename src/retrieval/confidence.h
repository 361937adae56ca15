#pragma once

#include <optional>

#include "nearlite/retrieval/search_stores.h"

namespace nearlite {

/// The probability that a hit is relevant: 1 / (1 + e^-(offset + evidence * e + background * b)),
/// where e is the score of the evidence (fusion.h) and b the mean cosine of the question with a
/// sample of the store, which is what a row that has nothing to do with it reaches. The
/// coefficients were fitted on judged questions (docs/benchmarks/retrieval.md); what differs
/// between stores and questions is in b. Nothing without a sample, and for words alone.
std::optional<double> confidence_of(double evidence, std::optional<double> background,
                                    SearchMode mode);

}  // namespace nearlite
