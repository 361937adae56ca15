#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/universal_retriever.h"

namespace nearlite {

/// A hit as a result, scored by the evidence alone.
ResultBundle bundle_of(RetrievalHit hit, const std::string& origin, const Clock& clock);

/// The number of a seed store's row, which link tables may name; nothing for other keys and rows of
/// further source tables.
std::optional<std::int64_t> row_id(const RetrievalHit& hit);

/// What is recorded of one result: of the call, only the session and the rate are missing.
/// reliability: of its origin.
RetrievalOutcome outcome_of(const ResultBundle& bundle, const Reliability& reliability);

/// A result as plain values. by_formula: the score is what the original calls confidence.
ConfidentHit confident_hit(ResultBundle bundle, bool by_formula);

}  // namespace nearlite
